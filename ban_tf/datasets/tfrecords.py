"""Reads TFRecord files of `tf.train.Example` without TensorFlow."""

from __future__ import annotations

import os
import pathlib
import struct
from collections.abc import Iterator

from ban_tf.errors import InputError
from ban_tf.system import safe_files

Value = bytes | int | float | None

_VARINT, _BYTES, _FLOATS = 0, 2, 5  # wire types of Protocol Buffers


def examples(file: pathlib.Path) -> Iterator[dict[str, Value]]:
    """Yields the examples of a file in order: for each feature its first value, None if none.

    Raises:
        InputError: The file cannot be read, or is damaged.
    """
    try:
        with open(file, "rb", opener=safe_files.regular) as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(0)
            while head := opened.read(12):  # the length of a record, and its checksum
                (length,) = struct.unpack("<Q", head[:8])
                if opened.tell() + length + 4 > size:
                    raise InputError(f"{file} cannot be read (it ends within an example).")
                yield _example(opened.read(length))
                opened.read(4)  # the checksum of the example
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, IndexError, KeyError, StopIteration, struct.error) as error:
        raise InputError(f"{file} cannot be read (it is no record of examples).") from error


def _example(record: bytes) -> dict[str, Value]:
    """Returns the features of a `tf.train.Example`."""
    found: dict[str, Value] = {}
    for _, features in _fields(record):
        for _, entry in _fields(features):
            parts = dict(_fields(entry))
            found[parts[1].decode()] = _first_value(parts[2])
    return found


def _first_value(feature: bytes) -> Value:
    """Returns the first value of a `tf.train.Feature`: bytes, floats or integers."""
    for kind, values in _fields(feature):
        for _, value in _fields(values):
            if kind == 1:
                return value
            if kind == 2:
                return struct.unpack("<f", value[:4])[0]
            number = value if isinstance(value, int) else _varint(value, 0)[0]
            return number - 2**64 if number >= 2**63 else number
    return None


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the numbers and contents of the fields of a message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == _BYTES:
            length, place = _varint(message, place)
            yield key >> 3, message[place : place + length]
            place += length
        elif kind == _VARINT:
            number, place = _varint(message, place)
            yield key >> 3, number  # type: ignore[misc]  # of a list that is not packed
        elif kind == _FLOATS:
            yield key >> 3, message[place : place + 4]
            place += 4
        else:
            raise struct.error(f"wire type {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
