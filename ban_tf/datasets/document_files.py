"""A folder of text files, one for each text: `FOLDER/{train,test}/CLASS` or `FOLDER/CLASS`."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence

from ban_tf.datasets import csv_list, folder_hints
from ban_tf.datasets.csv_list import Arranged, Row
from ban_tf.datasets.folder_layout import ALL, PARTS, TEST, TRAIN, normalized
from ban_tf.errors import InputError
from ban_tf.system import safe_files

_PREFIX = "documents:"
_SUFFIX = ".txt"


def scan(name: str) -> Arranged:
    """Returns the files of each part, as paths relative to the folder, with their labels.

    Args:
        name: "documents:FOLDER".

    Raises:
        InputError: The folder does not exist, or has the wrong layout.
    """
    root = _root(name)
    listed: dict[str, list[Row]] = {}
    for part, folder in _parts(name, root).items():
        listed[part] = [
            Row(str(file.relative_to(root)), normalized(entry.name))
            for entry in folder_hints.folders(folder)
            for file in files_in(entry)
        ]
        if not listed[part]:
            raise InputError(
                f"--dataset={name} has no texts: {folder} holds no folders of classes with "
                f"{_SUFFIX} files."
            )
    return csv_list.arrange(name, listed, "texts")


def read(name: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Reads the texts of files.

    Args:
        name: "documents:FOLDER".
        paths: Relative to the folder.

    Raises:
        InputError: A file cannot be read, or has no text.
    """
    root = _root(name)
    return tuple(read_document(root / path) for path in paths)


def read_document(path: pathlib.Path) -> str:
    """Returns the text of a file.

    Raises:
        InputError: It cannot be read, is not UTF-8, or is empty.
    """
    try:
        text = safe_files.read_below(path).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = safe_files.reason(error, "it is not UTF-8")
        raise InputError(f"{path} cannot be read as UTF-8 text ({reason}).") from error
    if not text:
        raise InputError(f"{path} has no text.")
    return text


def files_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the text files in a folder and in its folders, sorted, without hidden ones."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() == _SUFFIX and path.is_file():
            found.append(path)
    return found


def _root(name: str) -> pathlib.Path:
    root = pathlib.Path(name.removeprefix(_PREFIX))
    with contextlib.suppress(RuntimeError):  # of a user who does not exist
        root = root.expanduser()
    if not name.removeprefix(_PREFIX) or not root.is_dir():
        raise InputError(
            f"--dataset={name} is not a folder; give documents:FOLDER with texts in "
            "FOLDER/train/CLASS and FOLDER/test/CLASS, or in FOLDER/CLASS."
        )
    return root


def _parts(name: str, root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the folders of the parts, or only `ALL`."""
    found = {
        PARTS[folder.name.lower()]: folder
        for folder in folder_hints.folders(root)
        if folder.name.lower() in PARTS
    }
    # Folders of these names that hold texts are classes.
    if not found or all(any(folder.glob(f"*{_SUFFIX}")) for folder in found.values()):
        return {ALL: root}
    missing = [part for part in (TRAIN, TEST) if part not in found]
    if missing:
        raise InputError(
            f"--dataset={name} has {' and '.join(sorted(found))}, but no "
            f"{' and no '.join(missing)}; add it, or give the folder of the classes alone, which "
            "is then split."
        )
    return found
