"""The image files that `ban-tf predict` is given: by name, in folders, or by a pattern."""

from __future__ import annotations

import collections
import glob
import pathlib
from collections.abc import Iterable
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


def expand(names: Iterable[str]) -> Expanded:
    """Returns the files that names stand for.

    Args:
        names: Files, which need not exist; folders, whose images are found in the folders in them,
            too; and patterns such as `photos/*.jpg`, where the shell has not expanded them.
    """
    files: list[str] = []
    bad: list[str] = []
    for name in names:
        path = pathlib.Path(name)
        if path.is_dir():
            found = _in_folder(path)
            if not found:
                bad.append(f"{name} holds no images.")
        elif glob.has_magic(name) and not path.exists():
            found = []
            for match in sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - absolute, too
                inner = pathlib.Path(match)
                found += _in_folder(inner) if inner.is_dir() else [match]
            if not found:
                bad.append(f"{name} matches no file.")
        else:
            found = [name]
        files += found
    return Expanded(list(dict.fromkeys(files)), bad)


def _in_folder(folder: pathlib.Path) -> list[str]:
    return list(map(str, image_files.find(folder, collections.Counter())))
