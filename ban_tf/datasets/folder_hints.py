"""What to type instead, if `--dataset=folder:PATH` does not name a folder of images."""

from __future__ import annotations

import collections
import contextlib
import difflib
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from ban_tf.datasets import image_files
from ban_tf.errors import InputError
from ban_tf.system import shown

_LISTED = 5
_PART_NAMES = ("train", "test", "val", "valid", "validation")
_EXPECTED = "images are expected in PATH/train/CLASS and PATH/test/CLASS, or in PATH/CLASS"


def existing(path: str) -> pathlib.Path:
    """Returns the folder of a path.

    Raises:
        InputError: It is not a folder; the message names what is there.
    """
    if not path:
        raise InputError("--dataset=folder: names no folder; type --dataset=folder:PATH.")
    root = pathlib.Path(path)
    with contextlib.suppress(RuntimeError):  # of a user who does not exist
        root = root.expanduser()
    try:
        if root.is_dir():
            return root
    except OSError as error:  # of Python before 3.14, if the name is too long
        raise InputError(
            f"--dataset=folder:{path[:80]}... cannot be read ({error.strerror})."
        ) from error
    if root.exists():
        raise InputError(
            f"--dataset=folder:{path} is a file; give the folder of the images, after unpacking it "
            "if it is an archive."
        )
    nearest = root.parent
    while not nearest.is_dir() and nearest != nearest.parent:
        nearest = nearest.parent
    names = [folder.name for folder in folders(nearest)]
    missing = root.relative_to(nearest).parts[0]
    close = difflib.get_close_matches(missing.lower(), [name.lower() for name in names], 1)
    hint = ""
    if close:
        right = next(name for name in names if name.lower() == close[0])
        rest = root.relative_to(nearest).parts[1:]
        hint = f" Did you mean {_flag(nearest.joinpath(right, *rest))}?"
    holds = f"the folders {listed(names)}" if names else "no folders"
    place = nearest.absolute() if nearest == pathlib.Path() else nearest
    raise InputError(
        f"--dataset=folder:{path} does not exist: {place} holds {holds}, and no {missing}.{hint}"
    )


def forgotten(name: str) -> str:
    """Returns what to type if a dataset is a path without `folder:` or `csv:`; else nothing."""
    try:
        is_folder = pathlib.Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return ""
    if name.lower().endswith(".csv") and pathlib.Path(name).expanduser().is_file():
        command = shown.command([f"--dataset=csv:{name}"])
        return f"{name} is a file: type {command} if it is a table of images."
    return f"{name} is a folder: type {_flag(name)} if it holds images." if is_folder else ""


def looks_like_path(name: str) -> bool:
    """Returns whether a name is a path, and cannot be that of a TFDS dataset."""
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name


def incomplete(path: str, found: Mapping[str, pathlib.Path]) -> str:
    """Returns an error message for a folder that has only some of train, validation and test."""
    names = " and ".join(sorted(folder.name for folder in found.values()))
    if "train" not in found:
        hint = "Name the folder of the training images train"
        if "test" not in found:
            hint = "Name the folders train and test"
    elif "validation" in found:
        other = found["validation"].name
        hint = f"Rename {other} to test: a part of train is then used for validation"
    else:
        hint = (
            f"Add the folder test, or type {_flag(found['train'])} to split {found['train'].name}"
        )
    missing = " and no ".join(part for part in ("train", "test") if part not in found)
    return f"--dataset=folder:{path} has {names}, but no {missing}. {hint}."


def check_not_a_part(path: str, root: pathlib.Path) -> None:
    """Refuses a part of a dataset, one level too low."""
    above = _above(root)
    names = {folder.name.lower() for folder in folders(above)}
    if root.resolve().name.lower() in _PART_NAMES and {"train", "test"} <= names:
        raise InputError(
            f"--dataset=folder:{path} is only a part: {above} has train and test. Type "
            f"{_flag(above)}."
        )


def check_not_a_data_set(path: str, folder: pathlib.Path) -> None:
    """Refuses a folder of datasets, one level too high."""
    names = {inner.name.lower() for inner in folders(folder)}
    if {"train", "test"} <= names:
        raise InputError(
            f"--dataset=folder:{path} is one level too high: {folder} has train and test. Type "
            f"{_flag(folder)}."
        )


def few_classes(path: str, folder: pathlib.Path, names: Sequence[str]) -> str:
    """Returns an error message for a folder of fewer than two classes.

    Args:
        path: The path that was given.
        folder: The folder in which the classes should be.
        names: The classes.
    """
    begin = f"--dataset=folder:{path} has {len(names)} class(es); at least two are needed"
    if names:
        (only,) = folders(folder)[:1] or (folder / names[0],)
        inner = [entry.name for entry in folders(only) if holds_images(entry)]
        if len(inner) < 2:
            return f"{begin}."
        what = f"{begin}: {only} holds the folders {listed(inner)}."
        if folder == pathlib.Path(path).expanduser():
            return f"{what} Type {_flag(only)}."
        return f"{what} Move them to {folder}."
    if not holds_images(folder):
        return f"{begin}: it holds no folders; {_EXPECTED}."
    begin = f"{begin}: it holds images, but no folders of classes"
    above = _above(folder)
    for dataset in (above, _above(above)):
        if {"train", "test"} <= {entry.name.lower() for entry in folders(dataset)}:
            return f"{begin}. Type {_flag(dataset)}."
    if sum(holds_images(entry) for entry in folders(above)) > 1:  # other classes beside it
        return f"{begin}. Type {_flag(above)}."
    return f"{begin}; {_EXPECTED}."


def folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders in a folder, sorted, without hidden ones."""
    try:
        return sorted(
            entry
            for entry in folder.iterdir()
            if not image_files.is_hidden(entry.name) and entry.is_dir()
        )
    except PermissionError:
        return []


def holds_images(folder: pathlib.Path) -> bool:
    """Returns whether there are images in a folder itself, by their suffixes."""
    try:
        return any(image_files.has_suffix(entry) for entry in folder.iterdir())
    except PermissionError:
        return False


def warn_of_passed_over(root: pathlib.Path, numbers: collections.Counter[str]) -> None:
    """Warns of files that are not read, if there are any, with their numbers by reason."""
    if numbers:
        counts = shown.escaped(counted(numbers))
        logging.warning("%s: files that are not read: %s.", root, counts)


def warn_of_left_out(root: pathlib.Path, bad: Sequence[str]) -> None:
    """Warns of bad files that are left out, if there are any; of each there is a sentence."""
    if bad:
        logging.warning("%s: bad files that are left out (%d): %s", root, len(bad), few(bad))


def counted(numbers: collections.Counter[str]) -> str:
    """Returns numbers of files by reason, the most common first."""
    return ", ".join(f"{count} {reason}" for reason, count in numbers.most_common())


def listed(names: Iterable[str]) -> str:
    """Returns a few of the names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def few(sentences: Sequence[str]) -> str:
    """Returns a few of the sentences, and how many more there are."""
    more = len(sentences) - _LISTED
    return " ".join(sentences[:_LISTED]) + (f" And {more} more." if more > 0 else "")


def _above(folder: pathlib.Path) -> pathlib.Path:
    return folder.parent if folder.name not in ("", "..") else folder.resolve().parent


def _flag(path: str | pathlib.Path) -> str:
    return shown.command([f"--dataset=folder:{path}"])
