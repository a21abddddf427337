"""Files that are written whole or not at all, and locks that die with their process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import sys
from collections.abc import Iterator

from ban_tf.errors import SaveError

PARTIAL = ".partial"


@contextlib.contextmanager
def file_lock(path: str | os.PathLike, otherwise: str) -> Iterator[None]:
    """Locks a file between processes; blocks until it is free.

    Args:
        path: A file to lock, which is made.
        otherwise: What is printed if another process holds it.

    Raises:
        OSError: The file cannot be made.
    """
    with pathlib.Path(path).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{otherwise}; waiting for it.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def convert_os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raises `OSError` of the block again as `SaveError`.

    Args:
        path: Where the block writes to.

    Raises:
        SaveError: The disk is full or refuses.
    """
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"{path} could not be written ({error.strerror or error}); nothing that was saved is "
            "lost: once there is space and permission, the same command goes on."
        ) from error


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that is either its old self or its new self, even if power fails.

    Raises:
        OSError: The disk is full or refuses; the old file, if any, is untouched.
    """
    make_directory(path.parent)
    temporary = path.with_name(path.name + PARTIAL)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_directory(path.parent)


def _fsync_directory(folder: pathlib.Path) -> None:
    """Forces the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_directory(folder: pathlib.Path) -> None:
    """Makes a folder and its parents, forced to the disk."""
    if not folder.is_dir():
        make_directory(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync_directory(folder.parent)
