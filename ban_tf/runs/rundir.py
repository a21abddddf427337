"""Crash-safe storage for the files of a run.

Every file is written under a temporary name, flushed to the disk and then renamed.
`manifest.json` is written last: it lists the valid files with size and SHA-256. Files that it
does not list are ignored, and a listed file is checked whenever it is read. The manifest has a
checksum, too; if it is damaged, the one before it, `manifest.previous.json`, is used. While a
listed file is replaced, both its former and its new content are valid. A process that is killed
between any two instructions, or a disk that fails at any of them, therefore always leaves a
resumable directory.

Only one process may write: `lock` is held through the kernel, and is released when the process
dies, for any reason. Before each write, it must still be the file that was locked: a directory
that was moved, deleted or replaced is not written.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
from absl import logging

from ban_tf.errors import CorruptFileError, RunDirectoryError, SaveError
from ban_tf.runs import manifests
from ban_tf.runs.manifests import LOCK, MANIFEST, PREVIOUS
from ban_tf.system import safe_files
from ban_tf.system.files import (
    PARTIAL,
    convert_os_errors,
    is_temporary,
    make_directory,
    write_atomically,
)

if TYPE_CHECKING:
    from ban_tf.distribution.workers import Workers

_ATTEMPTS, _PAUSE = 4, 0.05  # to lock a directory; the pause is in seconds


class RunDirectory:
    """A run directory, opened for writing by one process at a time.

    Args:
        path: The directory; created if it does not exist.
        holds: Patterns of what it may hold although it is no run, at its top; else a directory
            without a manifest must be empty.

    Raises:
        RunDirectoryError: It cannot be created or written, another process uses it, it holds
            other files than a run's, or its manifest is invalid.
    """

    def __init__(self, path: str | os.PathLike, holds: tuple[str, ...] = ()):
        self.path = pathlib.Path(path)
        manifests.check_new(self.path, holds)
        try:
            make_directory(self.path)
            safe_files.check_inside(self.path / LOCK, self.path)
            self._lock = open(self.path / LOCK, "a", opener=safe_files.regular)  # noqa: SIM115
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written ({error.strerror}); choose another directory."
            ) from error
        try:
            self._take_lock()
            self._manifest = self._read_manifest()
        except RunDirectoryError:
            self._lock.close()
            raise
        # Whether the manifest on the disk is this one, undamaged.
        self._stored = (self.path / MANIFEST).exists() and not self.trouble

    # Whether this process may write.
    writes = True
    # What was wrong with the manifest when it was last read.
    trouble = ""

    def _take_lock(self) -> None:
        """Locks the directory through the kernel, which also releases the lock of a dead process.

        Outside Linux, looking at a lock takes it for an instant (see `system.lock_state`), so that
        one that is held is tried again.

        Raises:
            RunDirectoryError: Another process holds the lock, or the file system has none.
        """
        try:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(_PAUSE)
                if filelock.lock_descriptor(self._lock.fileno(), blocking=False):
                    return
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be locked ({error.strerror}); choose a directory on another "
                "file system."
            ) from error
        raise RunDirectoryError(
            f"{self.path} is in use by another process, or by another Lineage of this one; "
            "wait for it, or choose another directory."
        )

    def close(self) -> None:
        """Releases the lock, so that other processes can use the directory."""
        self._lock.close()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata in the manifest; change it through `commit`."""
        return self._manifest["facts"]

    def names(self, prefix: str = "") -> list[str]:
        """Returns the sorted names of the valid files that start with `prefix`."""
        return sorted(name for name in self._manifest["files"] if name.startswith(prefix))

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        metadata: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] | list[str] = (),
    ) -> None:
        """Writes files and metadata; metadata and new files become valid atomically.

        A file that already has the content is not written again.

        Args:
            files: Contents by name, relative to the directory.
            metadata: Entries to set in the manifest's metadata.
            remove: Files to remove from the manifest and then delete.

        Raises:
            SaveError: The disk is full or cannot be written, or the directory was moved, deleted or
                replaced; no valid file is damaged.
        """
        recorded = self._manifest["files"]
        contents = {
            name: content
            for name, content in (files or {}).items()
            if recorded.get(name) != manifests.entry(content) or not self._is_whole(name)
        }
        new = {name: manifests.entry(content) for name, content in contents.items()}
        replaced = {
            name: {**new[name], "former": manifests.accepted(recorded[name])}
            for name in new
            if name in recorded
        }
        kept = {name: entry for name, entry in recorded.items() if name not in remove}
        metadata = {**self._manifest["facts"], **(metadata or {})}
        with convert_os_errors(self.path):
            self._prepare()
            if replaced:
                self._save_manifest(files={**recorded, **replaced})
            for name, content in contents.items():
                self._write(name, content)
            self._save_manifest(files={**recorded, **new}, facts=metadata)
            if remove:
                # A second time, so that the manifest before this one has the new files, too.
                self._save_manifest(files={**kept, **new})
            for name in remove:
                self._delete(name)

    def lists(self, name: str, content: bytes) -> bool:
        """Returns whether a file of this content is listed, whole or damaged since."""
        return self._manifest["files"].get(name) == manifests.entry(content)

    def write_untracked(self, name: str, content: bytes) -> None:
        """Writes a file atomically without listing it, such as the history of a running generation.

        Raises:
            SaveError: As for `commit`.
        """
        with convert_os_errors(self.path):
            self._prepare()
            self._write(name, content)

    def folder(self, name: str) -> pathlib.Path:
        """Returns the path of a folder in the directory, for files that others write.

        Raises:
            SaveError: A symbolic link leads out of the directory.
        """
        with convert_os_errors(self.path):
            safe_files.check_inside(self.path / name, self.path)
        return self.path / name

    def remove_untracked(self, prefixes: tuple[str, ...]) -> None:
        """Deletes unlisted files that a killed process left behind.

        Args:
            prefixes: Prefixes of names that are valid only if the manifest lists them; temporary
                files of our own are deleted in any case.

        Raises:
            SaveError: As for `commit`.
        """
        self._check_held()
        listed = self._manifest["files"]
        with convert_os_errors(self.path):
            for name in self._names_on_disk():
                orphan = name.startswith(prefixes) and name not in listed
                # Earlier versions left "history.csv.partial".
                old = name.endswith(PARTIAL) and name.removesuffix(PARTIAL) in {*listed, MANIFEST}
                if orphan or old or is_temporary(name.rpartition("/")[-1]):
                    self._delete(name)

    def _names_on_disk(self) -> list[str]:
        """Returns the names of all files but those in folders with a lock, which are runs, too."""
        found: list[pathlib.Path] = []
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not pathlib.Path(folder, name, LOCK).exists()]
            found.extend(pathlib.Path(folder, name) for name in files)
        return [path.relative_to(self.path).as_posix() for path in found]

    def read(self, name: str) -> bytes:
        """Returns a file's content.

        Raises:
            CorruptFileError: It is missing or damaged.
            RunDirectoryError: This user may not read it; the file itself may be fine.
        """
        entry = self._manifest["files"].get(name)
        if entry is None:
            raise CorruptFileError(f"{self.path / name} is not listed in {MANIFEST}.")
        accepted = manifests.accepted(entry)
        sizes = [content_entry["size"] for content_entry in accepted]
        try:
            with safe_files.open_below(self.path / name, self.path) as file:
                size = os.fstat(file.fileno()).st_size
                if size not in sizes:
                    raise CorruptFileError(
                        f"{self.path / name} has {size} bytes where {entry['size']} were written."
                    )
                content = file.read(size)
        except PermissionError as error:
            raise RunDirectoryError(
                f"{self.path / name} may not be read ({error.strerror}); fix its "
                "permissions, then the same command resumes the run."
            ) from error
        except OSError as error:
            raise CorruptFileError(
                f"{self.path / name} cannot be read ({error.strerror})."
            ) from error
        if manifests.entry(content) not in accepted:
            raise CorruptFileError(f"{self.path / name} has changed since it was written.")
        return content

    def _is_whole(self, name: str) -> bool:
        try:
            self.read(name)
        except CorruptFileError:
            return False
        return True

    def _read_manifest(self) -> dict[str, Any]:
        manifest, trouble = manifests.read(self.path)
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble:
                logging.warning("%s", trouble)
        return manifest

    def _write(self, name: str, content: bytes) -> None:
        self._check_held()
        safe_files.check_inside((self.path / name).parent, self.path)
        write_atomically(self.path / name, content)

    def _delete(self, name: str) -> None:
        safe_files.check_inside((self.path / name).parent, self.path)
        (self.path / name).unlink(missing_ok=True)

    def _check_held(self) -> None:
        """Checks that the path still leads to the directory that was locked.

        Raises:
            SaveError: It was moved, deleted or replaced, or was closed.
        """
        if self._lock.closed:
            raise SaveError(f"{self.path} was closed; open it again to write to it.")
        held = os.fstat(self._lock.fileno())
        if _is_at(held, self.path / LOCK):
            return
        with contextlib.suppress(OSError):  # Linux alone knows the new place
            lock = pathlib.Path(f"/proc/self/fd/{self._lock.fileno()}").readlink()
            if _is_at(held, lock):
                raise SaveError(
                    f"{self.path} was moved to {lock.parent} while it was in use; nothing more is "
                    "written, and the run can be resumed from there."
                )
        raise SaveError(
            f"{self.path} or its lock was moved, deleted or replaced while it was in use; nothing "
            "more is written to it."
        )

    def _prepare(self) -> None:
        """Marks the directory as a run's before its first file is written."""
        if not self._stored:
            self._save_manifest()

    def _save_manifest(self, **parts: dict[str, Any]) -> None:
        manifest = {**self._manifest, **parts}
        if self._stored:
            if manifest == self._manifest:
                return
            if self._manifest != manifests.empty():  # with which the run would start again
                self._write(PREVIOUS, manifests.encode(self._manifest))
        self._write(MANIFEST, manifests.encode(manifest))
        self._manifest, self._stored = manifest, True


class ReadOnlyDirectory(RunDirectory):
    """A run directory that another process writes; its current state is read on each access.

    Its writing methods do nothing.

    Args:
        path: The directory.
    """

    writes = False

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)

    @property  # nothing is written, so that nothing sets it
    def _manifest(self) -> dict[str, Any]:  # type: ignore[override]
        return self._read_manifest()

    def close(self) -> None:
        """Does nothing: there is no lock to release."""

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        metadata: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] | list[str] = (),
    ) -> None:
        """Writes nothing."""

    def write_untracked(self, name: str, content: bytes) -> None:
        """Writes nothing."""

    def remove_untracked(self, prefixes: tuple[str, ...]) -> None:
        """Deletes nothing."""


def _is_at(file: os.stat_result, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(file, path.stat())
    except OSError:
        return False


def open_shared(path: str | os.PathLike, workers: Workers) -> RunDirectory:
    """Opens a run directory: for writing on the chief, for reading on other workers.

    Args:
        path: The directory, the same one on all machines.
        workers: The workers of this training.

    Raises:
        RunDirectoryError: It cannot be used, or workers see different directories.
    """
    if workers.count == 1:
        return RunDirectory(path)
    directory = workers.run_on_chief_first(
        lambda: RunDirectory(path) if workers.chief else ReadOnlyDirectory(path)
    )
    if workers.chief:
        directory.commit(metadata={"opened": directory.metadata.get("opened", 0) + 1})
    seen = workers.all_gather([directory.metadata.get("opened", 0) if workers.chief else 0])[0, 0]
    own = directory.metadata.get("opened")
    different = workers.all_gather([own != seen])[:, 0]
    if different.any():
        directory.close()
        raise RunDirectoryError(
            f"The run directory {path} is not the same on worker "
            f"{', '.join(map(str, np.flatnonzero(different)))} as on the chief; put it on a "
            "file system that all workers share."
        )
    return directory
