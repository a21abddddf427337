"""The files that `ban-tf predict` is given: by name, in folders, or by a pattern."""

from __future__ import annotations

import collections
import glob
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ban_tf.datasets import image_files


class Expanded(NamedTuple):
    """Files to predict.

    Attributes:
        files: Paths, each once, in the order in which they are given.
        bad: Sentences on names that stand for no file.
    """

    files: list[str]
    bad: list[str]


def images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the images in a folder and in its folders."""
    return image_files.find(folder, collections.Counter())


def expand(
    names: Iterable[str],
    files_in: Callable[[pathlib.Path], Iterable[pathlib.Path]] = images_in,
    noun: str = "images",
) -> Expanded:
    """Returns the files that names stand for.

    Args:
        names: Files, which need not exist; folders, whose files are found in the folders in them,
            too; and patterns such as `photos/*.jpg`, where the shell has not expanded them.
        files_in: Returns the files in a folder.
        noun: What these are.
    """
    files: list[str] = []
    bad: list[str] = []
    for name in names:
        path = pathlib.Path(name)
        if path.is_dir():
            found = list(map(str, files_in(path)))
            if not found:
                bad.append(f"{name} holds no {noun}.")
        elif glob.has_magic(name) and not path.exists():
            found = []
            for match in sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - absolute, too
                inner = pathlib.Path(match)
                found += map(str, files_in(inner)) if inner.is_dir() else [match]
            if not found:
                bad.append(f"{name} matches no file.")
        else:
            found = [name]
        files += found
    return Expanded(list(dict.fromkeys(files)), bad)
