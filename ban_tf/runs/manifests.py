"""The manifest of a run directory: its valid files, with sizes and hashes, and its metadata."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ban_tf.errors import RunDirectoryError
from ban_tf.runs import schemas
from ban_tf.system import json_schema, safe_files
from ban_tf.system.files import PARTIAL, is_temporary

MANIFEST = "manifest.json"
PREVIOUS = "manifest.previous.json"
LOCK = "lock"
FORMAT = 1


def empty() -> dict[str, Any]:
    """Returns the manifest of a new run."""
    return {"format": FORMAT, "files": {}, "facts": {}}


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Returns the content of the file, which includes a checksum of the rest."""
    # As it will be read: JSON turns the keys of dictionaries into strings.
    parts = json.loads(json.dumps(manifest))
    return json.dumps({**parts, "sha256": _checksum(parts)}, indent=1, sort_keys=True).encode()


def _checksum(parts: Mapping[str, Any]) -> str:
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read(folder: pathlib.Path) -> tuple[dict[str, Any], str]:
    """Reads the manifest of a run directory; an empty one if there is none.

    Returns:
        The manifest, and a sentence if it is damaged and the one before it was read instead.

    Raises:
        RunDirectoryError: It is damaged, and so is the one before it, if any; or this user may not
            read it.
    """
    if not os.path.lexists(folder / MANIFEST):
        return empty(), ""
    try:
        return _load(folder / MANIFEST), ""
    except RunDirectoryError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        try:
            previous = _load(folder / PREVIOUS)
        except RunDirectoryError:
            raise error from error.__cause__
        said = str(error).removesuffix(".")
        return previous, f"{said}; the manifest before it, {PREVIOUS}, is used."


def check_new(folder: pathlib.Path, holds: tuple[str, ...] = ()) -> None:
    """Checks that a directory without a manifest holds nothing that is not ours.

    Args:
        folder: The directory; it need not exist.
        holds: Patterns of files and folders at its top that it may hold.

    Raises:
        RunDirectoryError: It holds other files, or generations.
    """
    if os.path.lexists(folder / MANIFEST):
        return
    if any(path.is_file() for path in folder.glob("generation-*/*")):
        raise RunDirectoryError(
            f"{folder} holds generations but no {MANIFEST}, so that they cannot be checked: "
            f"restore {MANIFEST} from a backup, copy {PREVIOUS} to it if that exists, or choose "
            "another directory."
        )
    found = _first_foreign(folder, holds)
    if found is not None:
        raise RunDirectoryError(
            f"{folder} holds files that are not a run's, such as {found}: choose an empty or a "
            "new directory."
        )


def _first_foreign(folder: pathlib.Path, holds: tuple[str, ...]) -> pathlib.Path | None:
    """Returns a file that is neither the lock nor a temporary file, relative to the folder."""
    for place, folders, names in os.walk(folder):
        inner = pathlib.Path(place).relative_to(folder)
        patterns: tuple[str, ...] = ()
        if inner == pathlib.Path():
            patterns = (LOCK, MANIFEST + PARTIAL, *holds)
        folders[:] = [name for name in folders if not _matches(name, patterns)]
        for name in names:
            if not is_temporary(name) and not _matches(name, patterns):
                return inner / name
    return None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _load(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = safe_files.read_below(path, path.parent)
    except OSError as error:
        raise RunDirectoryError(
            f"{path} cannot be read as a manifest ({error.strerror})."
        ) from error
    manifest = json_schema.parse(content, path)
    checksum = manifest.pop("sha256", None) if isinstance(manifest, dict) else None
    if checksum not in (None, _checksum(manifest)):  # earlier versions wrote none
        raise RunDirectoryError(f"{path}, the manifest, has changed since it was written.")
    json_schema.check(manifest, schemas.MANIFEST, path)
    return manifest


def entry(content: bytes) -> dict[str, Any]:
    """Returns how the manifest lists a file of this content."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def accepted(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the valid contents of a file: several if its replacement was interrupted."""
    own = {"size": entry["size"], "sha256": entry["sha256"]}
    return [own, *entry.get("former", [])]
