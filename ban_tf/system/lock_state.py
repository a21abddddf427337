"""Whether a process holds the lock of a file; on Linux found without taking it for an instant."""

from __future__ import annotations

import os
import pathlib
import re
import struct
from typing import BinaryIO

import filelock

from ban_tf.system import safe_files

# Of each lock in /proc/locks that is held: device (hexadecimal) and inode of its file.
_LOCK = re.compile(r"^\d+:(?! ->).* ([0-9a-f]+):([0-9a-f]+):(\d+) \d+ \w+$", re.MULTILINE)
_LOCKS = pathlib.Path("/proc/locks")
# `struct flock` of Linux: type, whence, start, length, process.
_FLOCK = "hhqqi"


def is_locked(path: str | os.PathLike) -> bool:
    """Returns whether a process holds a lock on a file.

    A process that starts at the same moment is not kept from locking it. Where there is no
    /proc/locks (outside Linux), the lock is tried for an instant instead, as a reader if the
    system has such locks.
    """
    try:
        with safe_files.open_below(pathlib.Path(path)) as file:
            if not _LOCKS.is_file():
                return _is_refused(file)
            return _is_listed(file) or _is_locked_elsewhere(file)
    except OSError:
        return False


def _is_listed(file: BinaryIO) -> bool:
    """Returns whether the kernel of this machine lists a lock on the file."""
    known = os.fstat(file.fileno())
    # Some file systems report another device, or inode, to programs than to the kernel.
    info = pathlib.Path(f"/proc/self/fdinfo/{file.fileno()}").read_text(encoding="utf-8")
    mounted = re.search(r"^mnt_id:\s*(\d+)$", info, re.MULTILINE)
    inode = re.search(r"^ino:\s*(\d+)$", info, re.MULTILINE)
    mounts = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    device = mounted and re.search(rf"^{mounted[1]} \d+ (\d+):(\d+) ", mounts, re.MULTILINE)
    devices = {(os.major(known.st_dev), os.minor(known.st_dev))}
    if device:
        devices.add((int(device[1]), int(device[2])))
    inodes = {known.st_ino, int(inode[1]) if inode else known.st_ino}
    listed = _LOCK.findall(_LOCKS.read_text(encoding="utf-8"))
    return any(
        int(number) in inodes and (int(major, 16), int(minor, 16)) in devices
        for major, minor, number in listed
    )


def _is_locked_elsewhere(file: BinaryIO) -> bool:
    """Returns whether another machine holds the lock: network file systems answer this query."""
    import fcntl

    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(file, fcntl.F_GETLK, query)
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def _is_refused(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return not filelock.lock_descriptor(file.fileno(), blocking=False)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
