"""Zip archives of unknown origin: `.npz` and `.keras` files, checked before they are unpacked.

An archive may claim, or unpack to, far more than it is long. So the sizes that it lists are bounded
by its length before anything is unpacked; `zipfile` reads no more of an entry than is listed.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from typing import Any

import numpy as np

from ban_tf.errors import CorruptFileError
from ban_tf.system import json_schema

# An archive unpacks to at most this many bytes, or to this many times its length.
LARGEST_UNPACKED, LARGEST_RATIO = 2**28, 20
_MOST_ENTRIES = 50_000
_ENTRY = b"PK\x01\x02"  # begins each entry of the list of contents
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def arrays(content: bytes, name: object, keys: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Returns the arrays of an `.npz` file by name. Nothing is unpickled.

    Args:
        content: The content of the file.
        name: The name of the file, for messages.
        keys: Arrays that it must hold.

    Raises:
        CorruptFileError: It is not such a file, or lacks an array.
    """
    try:
        with _opened(content) as archive:
            found = {
                entry.filename.removesuffix(".npy"): _array(archive, entry)
                for entry in archive.infolist()
            }
    # Of an archive that was made to do harm, `zipfile` and NumPy raise errors of many classes.
    except Exception as error:
        raise CorruptFileError(f"{name} is not an .npz file of arrays: {_line(error)}.") from error
    missing = [key for key in keys if key not in found]
    if missing:
        raise CorruptFileError(f"{name} lacks the arrays {', '.join(missing)}.")
    return found


def check_keras(content: bytes, name: object) -> str:
    """Checks that a `.keras` file is bounded in memory; Keras reads it afterwards.

    Returns:
        The configuration of the model, JSON.

    Raises:
        CorruptFileError: It is not such a file, unpacks to too much, or refers to other files.
    """
    try:
        with _opened(content) as archive:
            config = archive.read(_CONFIG)
            json_schema.read(config, {"type": "object"}, f"its {_CONFIG}")
            _check_weights(archive.read(_WEIGHTS))
            return config.decode()
    except Exception as error:
        raise CorruptFileError(f"{name} is not a Keras model: {_line(error)}.") from error


def _opened(content: bytes) -> zipfile.ZipFile:
    if content.count(_ENTRY) > _MOST_ENTRIES:
        raise CorruptFileError(f"it has more than {_MOST_ENTRIES:,} entries")
    archive = zipfile.ZipFile(io.BytesIO(content))
    entries = archive.infolist()
    _check_size(sum(entry.file_size for entry in entries), len(content))
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise CorruptFileError("it is compressed by another method than deflate")
    return archive


def most_unpacked(length: int) -> int:
    """Returns to how many bytes an archive of so many bytes may unpack."""
    return max(LARGEST_UNPACKED, LARGEST_RATIO * length)


def _check_size(unpacked: int, length: int) -> None:
    if unpacked > most_unpacked(length):
        raise CorruptFileError(f"its {length:,} bytes would unpack to {unpacked:,}")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Reads an array whose header claims neither more nor less than follows it."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject or not dtype.itemsize:
            raise CorruptFileError(f"{entry.filename} holds objects rather than numbers")
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise CorruptFileError(f"{entry.filename} has another length than its header says")
        data = bytearray(file.read())
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _check_weights(content: bytes) -> None:
    """Checks the sizes of an HDF5 file's arrays, and that it refers to no other file."""
    import h5py  # comes with Keras

    sizes = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(math.prod(item.shape) * item.dtype.itemsize)
            if item.external or item.is_virtual:
                raise CorruptFileError(f"{name} of its {_WEIGHTS} is in another file")
        else:
            for key in item:
                if not isinstance(item.get(key, getlink=True), h5py.HardLink):
                    raise CorruptFileError(f"{name} of its {_WEIGHTS} is in another file")

    with h5py.File(io.BytesIO(content), "r") as file:
        look("/", file)
        file.visititems(look)
    _check_size(sum(sizes), len(content))


def _line(error: Exception) -> str:
    """Returns the message of an error in one line of limited length."""
    text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
