"""Opens files of unknown origin: no device, pipe or huge file, no link that leads elsewhere."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from typing import Any

from ban_tf.system import hardware

LARGEST_TEXT = 2**25  # bytes of a file of text
_TEXT = (".json", ".csv", ".cfg", ".md", ".txt")


def regular(path: str | os.PathLike, flags: int) -> int:
    """Opens only regular files, and never waits for a pipe; an `opener` for `open`.

    Raises:
        OSError: It is something else than a regular file, or cannot be opened.
    """
    try:
        # Bits that only POSIX has; a pipe would else wait for somebody at its other end.
        number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a pipe without a reader
            raise _refusal(path) from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _refusal(path)
    return number


def reason(error: Exception, otherwise: str) -> str:
    """Returns why a file cannot be read, without its path; `otherwise` if the system gives none."""
    return getattr(error, "strerror", None) or otherwise


def _refusal(path: str | os.PathLike) -> OSError:
    return OSError(errno.EINVAL, "it is not a regular file", str(path))


def check_inside(path: pathlib.Path, root: pathlib.Path) -> None:
    """Checks that no symbolic link leads from a path below a folder out of that folder.

    Raises:
        OSError: One does, or the links are a loop.
    """
    if not pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise OSError(errno.ELOOP, "a symbolic link leads out of the run", str(path))


def open_below(path: pathlib.Path, root: pathlib.Path | None = None) -> Any:
    """Opens a regular file for reading bytes.

    Args:
        path: The file.
        root: The folder that no symbolic link may leave; None for no such check.

    Raises:
        OSError: It is not a regular file, is too large to read (a file of text of more than
            `LARGEST_TEXT` bytes, or one of more bytes than this machine has memory), or is outside
            `root`.
    """
    if root is not None:
        check_inside(path, root)
    file = open(path, "rb", opener=regular)  # noqa: SIM115 (Path.open has no opener)
    size = os.fstat(file.fileno()).st_size
    most = LARGEST_TEXT if path.suffix in _TEXT else hardware.memory()
    if most is not None and size > most:
        file.close()
        raise OSError(errno.EFBIG, f"its {size:,} bytes are more than {most:,}", str(path))
    return file


def read_below(path: pathlib.Path, root: pathlib.Path | None = None) -> bytes:
    """Returns the content of a file; see `open_below`."""
    with open_below(path, root) as file:
        # Another process may make it longer meanwhile.
        return file.read(os.fstat(file.fileno()).st_size)
