"""Arrays in files that are written once and then memory-mapped, for data larger than the memory.

The arrays of a cache are in one folder, which appears when they are complete. Until then they are
in a folder beside it with the number of rows that are done, from which the next process continues
after a kill. Only one process writes at a time; others wait for it.
"""

from __future__ import annotations

import errno
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import hardware
from ban_tf.system.files import file_lock, make_directory, write_atomically

NAME = ".ban_tf-cache"  # of the folder of caches in a folder of images
# Of the memory, for images: parts of a dataset are selected by copying.
LARGEST_SHARE = 1 / 3
_ROWS = "rows"  # the file with the number of complete rows


class Form(NamedTuple):
    """The form of an array.

    Attributes:
        shape: Its shape; the first axis is that of rows.
        dtype: Its type.
    """

    shape: tuple[int, ...]
    dtype: type

    @property
    def bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


# Writes rows into arrays from a row on; yields the number of complete rows now and then.
Fill = Callable[[Mapping[str, np.ndarray], int], Iterator[int]]


def is_wanted(cache: str, needed: int) -> bool:
    """Returns whether images go to disk.

    Args:
        cache: "disk", "memory", or "auto": on disk if they would fill a third of the memory.
        needed: The bytes of all images.

    Raises:
        InputError: They are to be in memory, and do not fit.
    """
    if cache == "memory":
        hardware.check_memory(needed, "--cache=memory", "decoded images")
    return cache == "disk" or (
        cache == "auto" and needed > LARGEST_SHARE * (hardware.memory() or 0)
    )


def in_memory(forms: Mapping[str, Form], fill: Fill) -> dict[str, np.ndarray]:
    """Returns arrays in memory, filled."""
    arrays: dict[str, np.ndarray] = {
        name: np.zeros(form.shape, form.dtype) for name, form in forms.items()
    }
    for _ in fill(arrays, 0):
        pass
    return arrays


def on_disk(
    folder: pathlib.Path, forms: Mapping[str, Form], fill: Fill, dataset: str
) -> dict[str, np.ndarray]:
    """Returns memory-mapped arrays, which are written if they are not there.

    Args:
        folder: The folder of the arrays; its name must change with their content.
        forms: Of each array, by name.
        fill: Writes the rows.
        dataset: The value of `--dataset`, for messages.

    Raises:
        InputError: The folder cannot be written.
    """
    found = _complete(folder, forms)
    if found is None:
        try:
            make_directory(folder.parent)
            lock = folder.with_name(f"{folder.name}.lock")
            with file_lock(lock, f"Another process writes {folder}"):
                found = _complete(folder, forms)  # another process may have written it meanwhile
                if found is None:
                    _write(folder, forms, fill)
                    found = _complete(folder, forms)
        except OSError as error:
            size = sum(form.bytes for form in forms.values()) / 2**30
            raise InputError(
                f"--dataset={dataset}: its decoded images, {size:.1f} GiB, cannot be written to "
                f"{folder.parent} ({error.strerror or error}). Make it writable, or give "
                "--cache=memory or fewer or smaller images."
            ) from error
    assert found is not None  # it was just written
    return found


def _complete(folder: pathlib.Path, forms: Mapping[str, Form]) -> dict[str, np.ndarray] | None:
    """Returns the arrays of a folder; None if one is missing or damaged."""
    found = {}
    for name, form in forms.items():
        try:
            array = np.load(folder / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError):
            return None
        if (array.shape, array.dtype) != (form.shape, np.dtype(form.dtype)):
            return None
        found[name] = array
    return found


def _write(folder: pathlib.Path, forms: Mapping[str, Form], fill: Fill) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    done = _rows_done(partial) if _complete(partial, forms) is not None else 0
    if not done:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    arrays = {
        name: _opened(partial / f"{name}.npy", form, create=not done)
        for name, form in forms.items()
    }
    for rows in fill(arrays, done):
        for array in arrays.values():
            array.flush()  # before the number, which promises them
        write_atomically(partial / _ROWS, str(rows).encode())
    del arrays
    shutil.rmtree(folder, ignore_errors=True)  # damaged
    partial.replace(folder)


def _rows_done(partial: pathlib.Path) -> int:
    try:
        return int((partial / _ROWS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _opened(path: pathlib.Path, form: Form, create: bool) -> np.memmap:
    if not create:
        return np.lib.format.open_memmap(path, "r+")
    array = np.lib.format.open_memmap(path, "w+", form.dtype, form.shape)
    _reserve(path)
    return array


def _reserve(path: pathlib.Path) -> None:
    """Reserves the blocks of a file: a mapped page that the disk has no block for ends a process.

    Raises:
        OSError: The disk is full.
    """
    if not hasattr(os, "posix_fallocate"):  # Windows and macOS
        if path.stat().st_size > shutil.disk_usage(path).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # of this file system
                raise
