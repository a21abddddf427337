"""Atomic writes, and locks that are released when their process dies."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

import filelock

from ban_tf.errors import SaveError
from ban_tf.system import safe_files

MARK, PARTIAL = ".ban_tf-", ".partial"  # of temporary files, so that only our own are deleted


@contextlib.contextmanager
def file_lock(path: str | os.PathLike, otherwise: str) -> Iterator[None]:
    """Locks a file between processes; blocks until it is free.

    Args:
        path: The file to lock; created if it does not exist.
        otherwise: The message printed if another process holds the lock.

    Raises:
        OSError: The file cannot be created.
    """
    with open(path, "a", opener=safe_files.regular) as lock:
        if not filelock.lock_descriptor(lock.fileno(), blocking=False):
            print(f"{otherwise}; waiting for it.", file=sys.stderr)
            filelock.lock_descriptor(lock.fileno())
        yield


@contextlib.contextmanager
def convert_os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Re-raises `OSError` as `SaveError`.

    Args:
        path: The path that the block writes.

    Raises:
        SaveError: The disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{path} could not be written ({error.strerror or error}); nothing that was saved is "
            "lost: once there is space and permission, the same command resumes the run."
        ) from error


def is_temporary(name: str) -> bool:
    """Returns whether `write_atomically` gives such a name to its temporary files."""
    return name.startswith(MARK) and name.endswith(PARTIAL)


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Replaces a file atomically, even if power fails.

    Raises:
        OSError: The disk is full or cannot be written; the old file, if any, is unchanged.
    """
    make_directory(path.parent)
    temporary = path.with_name(f"{MARK}{path.name}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)  # it might be a link, or a pipe
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_directory(path.parent)


@contextlib.contextmanager
def temporary_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a folder beside `path`, to move files from it to `path` at once; deletes it at the end.

    One that a killed process left is deleted first.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    folder = path.with_name(f"{MARK}{path.name}{PARTIAL}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fsync_directory(folder: pathlib.Path) -> None:
    """Fsyncs a directory, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows, which opens no directories
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_directory(folder: pathlib.Path) -> None:
    """Creates a folder and its parents, and fsyncs them."""
    if not folder.is_dir():
        make_directory(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync_directory(folder.parent)
