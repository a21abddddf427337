"""The files of a run, each of them whole.

Every file is written under another name, forced to the disk and then renamed, and
`manifest.json` is written last: it names each file that counts, with size and SHA-256. A file
that the manifest does not name does not count, and one that it names is checked whenever it is
read. A process that is killed between any two instructions therefore leaves a directory that
can be gone on with.

One process at a time: `lock` is held through the kernel, which lets go of it when its owner
dies, however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
_PARTIAL = ".partial"


class RunDirectoryError(ValueError):
    """A run directory that cannot be used; the message says what to do."""


class SaveError(RuntimeError):
    """The disk is full or refuses; what was saved before is as it was."""


class CorruptFileError(RunDirectoryError):
    """A file is not what the manifest says that it is."""


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
            self.path.mkdir(parents=True, exist_ok=True)
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
                f"{self.path} is in use by another process; wait for it, or choose another one."
            ) from error
        self._manifest = self._read_manifest()

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

    def digest(self, name: str) -> str:
        """Returns the SHA-256 of a file that counts, as the manifest has it."""
        return self._manifest["files"][name]["sha256"]

    def commit(
        self,
        files: Mapping[str, bytes] | None = None,
        facts: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] | list[str] = (),
    ) -> None:
        """Writes files and facts so that all of them count from the same moment on.

        Args:
            files: Contents by name, relative to the directory.
            facts: Facts to set in the manifest.
            remove: Files that stop to count, and are deleted afterwards.

        Raises:
            SaveError: The disk is full or refuses; nothing that counted is damaged.
        """
        files = files or {}
        recorded = self._manifest["files"]
        with self._saving():
            # A name about to be written again must not count while its content changes.
            if any(name in recorded for name in files):
                self._save_manifest(
                    {**self._manifest, "files": _without(recorded, files)},
                )
            for name, content in files.items():
                write_atomically(self.path / name, content)
            new = {
                name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
            }
            self._save_manifest(
                {
                    **self._manifest,
                    "files": {**_without(self._manifest["files"], remove), **new},
                    "facts": {**self._manifest["facts"], **(facts or {})},
                }
            )
            for name in remove:
                (self.path / name).unlink(missing_ok=True)

    def write_uncounted(self, name: str, content: bytes) -> None:
        """Writes a whole file that the manifest does not name, such as a history under way.

        Raises:
            SaveError: As for `commit`.
        """
        with self._saving():
            write_atomically(self.path / name, content)

    def sweep(self, prefixes: tuple[str, ...]) -> None:
        """Deletes what a process that was killed left behind: files that do not count.

        Args:
            prefixes: How the names start of those files that only a manifest gives a meaning.
        """
        for path in self.path.rglob("*"):
            name = path.relative_to(self.path).as_posix()
            orphan = name.startswith(prefixes) and name not in self._manifest["files"]
            if path.is_file() and (orphan or name.endswith(_PARTIAL)):
                path.unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """Returns a file's content.

        Raises:
            CorruptFileError: It is missing, or not what was written.
        """
        entry = self._manifest["files"].get(name)
        if entry is None:
            raise CorruptFileError(f"{self.path / name} is not named by {MANIFEST}.")
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise CorruptFileError(
                f"{self.path / name} cannot be read ({error.strerror})."
            ) from error
        if len(content) != entry["size"]:
            raise CorruptFileError(
                f"{self.path / name} has {len(content)} bytes where {entry['size']} were written."
            )
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise CorruptFileError(f"{self.path / name} has changed since it was written.")
        return content

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SaveError(
                f"{self.path} could not be written ({error.strerror}); nothing that was saved is "
                "lost: once there is space and permission, the same command goes on."
            ) from error

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
        return manifest

    def _save_manifest(self, manifest: dict[str, Any]) -> None:
        content = json.dumps(manifest, indent=1, sort_keys=True).encode()
        write_atomically(self.path / MANIFEST, content)
        self._manifest = manifest


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is either its old self or its new self, even if power fails.

    Raises:
        OSError: The disk is full or refuses; the old file, if any, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + _PARTIAL)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _without(files: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: entry for name, entry in files.items() if name not in names}
