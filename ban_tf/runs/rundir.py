"""The files of a run, each of them whole.

Every file is written under another name, forced to the disk and then renamed, and
`manifest.json` is written last: it names each file that counts, with size and SHA-256. A file
that the manifest does not name does not count, and one that it names is checked whenever it is
read. While a file that counts is replaced, its former content counts as well as the new one. A
process that is killed between any two instructions, or a disk that fails at any of them,
therefore leaves a directory that can be gone on with.

One process at a time: `lock` is held through the kernel, which lets go of it when its owner
dies, however it dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.errors import CorruptFileError, RunDirectoryError
from ban_tf.system.files import PARTIAL, convert_os_errors, make_directory, write_atomically

if TYPE_CHECKING:
    from ban_tf.distribution.workers import Workers

MANIFEST = "manifest.json"
FORMAT = 1


class RunDirectory:
    """A directory that one process at a time writes a run into.

    Args:
        path: The directory; made if it does not exist.

    Raises:
        RunDirectoryError: It cannot be made or written, another process holds it, or its
            manifest is not one.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        try:
            make_directory(self.path)
            self._lock = (self.path / "lock").open("a")
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written ({error.strerror}); choose another directory."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunDirectoryError(
                f"{self.path} is in use by another process, or by another Lineage of this one; "
                "wait for it, or choose another directory."
            ) from error
        self._manifest = self._read_manifest()

    # Whether this process writes, or only reads what another one does.
    writes = True

    def close(self) -> None:
        """Lets other processes use the directory."""
        self._lock.close()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest holds beside the files; change it through `commit`."""
        return self._manifest["facts"]

    def names(self, prefix: str = "") -> list[str]:
        """Returns the files that count and start with `prefix`, sorted."""
        return sorted(name for name in self._manifest["files"] if name.startswith(prefix))

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        facts: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] | list[str] = (),
    ) -> None:
        """Writes files and facts; facts, and files that are new, all count from the same moment on.

        A file that holds its content already is not written again.

        Args:
            files: Contents by name, relative to the directory.
            facts: Facts to set in the manifest.
            remove: Files that stop to count, and are deleted afterwards.

        Raises:
            SaveError: The disk is full or refuses; nothing that counted is damaged.
        """
        recorded = self._manifest["files"]
        contents = {
            name: content
            for name, content in (files or {}).items()
            if recorded.get(name) != _entry(content) or not self._is_whole(name)
        }
        new = {name: _entry(content) for name, content in contents.items()}
        replaced = {
            name: {**new[name], "former": _accepted(recorded[name])}
            for name in new
            if name in recorded
        }
        kept = {name: entry for name, entry in recorded.items() if name not in remove}
        facts = {**self._manifest["facts"], **(facts or {})}
        with convert_os_errors(self.path):
            if replaced:
                self._save_manifest(files={**recorded, **replaced})
            for name, content in contents.items():
                write_atomically(self.path / name, content)
            self._save_manifest(files={**kept, **new}, facts=facts)
            for name in remove:
                (self.path / name).unlink(missing_ok=True)

    def write_uncounted(self, name: str, content: bytes) -> None:
        """Writes a whole file that the manifest does not name, such as a history under way.

        Raises:
            SaveError: As for `commit`.
        """
        with convert_os_errors(self.path):
            write_atomically(self.path / name, content)

    def sweep(self, prefixes: tuple[str, ...]) -> None:
        """Deletes what a process that was killed left behind: files that do not count.

        Args:
            prefixes: How the names start of those files that only a manifest gives a meaning.
        """
        with convert_os_errors(self.path):
            for path in self.path.rglob("*"):
                name = path.relative_to(self.path).as_posix()
                orphan = name.startswith(prefixes) and name not in self._manifest["files"]
                if path.is_file() and (orphan or name.endswith(PARTIAL)):
                    path.unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """Returns a file's content.

        Raises:
            CorruptFileError: It is missing, or not what was written.
            RunDirectoryError: This user may not read it, which says nothing of what it holds.
        """
        entry = self._manifest["files"].get(name)
        if entry is None:
            raise CorruptFileError(f"{self.path / name} is not named by {MANIFEST}.")
        try:
            content = (self.path / name).read_bytes()
        except PermissionError as error:
            raise RunDirectoryError(
                f"{self.path / name} may not be read ({error.strerror}); once it may, the same "
                "command goes on."
            ) from error
        except OSError as error:
            raise CorruptFileError(
                f"{self.path / name} cannot be read ({error.strerror})."
            ) from error
        accepted = _accepted(entry)
        if len(content) not in [each["size"] for each in accepted]:
            raise CorruptFileError(
                f"{self.path / name} has {len(content)} bytes where {entry['size']} were written."
            )
        if _entry(content) not in accepted:
            raise CorruptFileError(f"{self.path / name} has changed since it was written.")
        return content

    def _is_whole(self, name: str) -> bool:
        try:
            self.read(name)
        except CorruptFileError:
            return False
        return True

    def _read_manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not path.exists():
            return {"format": FORMAT, "files": {}, "facts": {}}
        try:
            manifest = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"{path} cannot be read as a manifest: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise RunDirectoryError(f"{path} is not a manifest of format {FORMAT}.")
        for part in ("files", "facts"):
            if not isinstance(manifest.get(part), dict):
                raise RunDirectoryError(f"{path} lacks its part {part!r}.")
        for name, entry in manifest["files"].items():
            if not _is_inside(name) or not _is_entry(entry):
                raise RunDirectoryError(f"{path} has no sensible entry for the file {name!r}.")
        if not _are_facts(manifest["facts"]):
            raise RunDirectoryError(f"{path} has no sensible facts of settings and generations.")
        return manifest

    def _save_manifest(self, **parts: dict[str, Any]) -> None:
        manifest = {**self._manifest, **parts}
        if manifest == self._manifest:
            return
        content = json.dumps(manifest, indent=1, sort_keys=True).encode()
        write_atomically(self.path / MANIFEST, content)
        self._manifest = manifest


class ReadOnlyDirectory(RunDirectory):
    """A run directory that another process writes: always as it is at the moment.

    What it is told to write, it leaves to that process.

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
        """There is nothing to let go of."""

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        facts: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] | list[str] = (),
    ) -> None:
        """Writes nothing."""

    def write_uncounted(self, name: str, content: bytes) -> None:
        """Writes nothing."""

    def sweep(self, prefixes: tuple[str, ...]) -> None:
        """Deletes nothing."""


def open_shared(path: str | os.PathLike, workers: Workers) -> RunDirectory:
    """Opens a run directory: to write on the chief, to read on others.

    Args:
        path: The directory, the same one on all machines.
        workers: Those that train together.

    Raises:
        RunDirectoryError: It cannot be used, or workers see different directories.
    """
    if workers.count == 1:
        return RunDirectory(path)
    directory = workers.chief_first(
        lambda: RunDirectory(path) if workers.chief else ReadOnlyDirectory(path)
    )
    if workers.chief:
        directory.commit(facts={"opened": directory.facts.get("opened", 0) + 1})
    seen = workers.exchange([directory.facts.get("opened", 0) if workers.chief else 0])[0, 0]
    own = directory.facts.get("opened")
    different = workers.exchange([own != seen])[:, 0]
    if different.any():
        directory.close()
        raise RunDirectoryError(
            f"--workdir={path} is not the same directory on worker "
            f"{', '.join(map(str, np.flatnonzero(different)))} as on the chief; put it on a "
            "file system that all workers share."
        )
    return directory


def _entry(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _accepted(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a file may hold: one content, or several where its replacement was cut off."""
    own = {"size": entry["size"], "sha256": entry["sha256"]}
    return [own, *entry.get("former", [])]


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("size"), int)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("former", []), list)
        and all(map(_is_entry, entry.get("former", [])))
    )


def _are_facts(facts: Mapping[str, Any]) -> bool:
    """Whether what other modules look up in the facts is as they write it."""
    known = facts.get("generations", {})
    return (
        isinstance(facts.get("settings", {}), dict)
        and isinstance(known, dict)
        and all(
            number.isdigit()
            and isinstance(each, dict)
            and isinstance(each.get("epochs"), int)
            and isinstance(each.get("finished"), bool)
            and isinstance(each.get("teachers"), dict)
            for number, each in known.items()
        )
    )


def _is_inside(name: str) -> bool:
    path = pathlib.PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
