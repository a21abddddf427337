"""Keys of examples, by which a recording finds them in any order and in any program.

The key of an example is a hash of its numbers as float32, in any dtype and shape: a flat row of
pixels has the key of the image, and integers have the key of equal floats. Integers that float32
would round, such as the ids of users, are hashed unchanged. Where teacher and student see different
numbers, as at two sizes, names (or other numbers of one's own) can be keys instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ban_tf.errors import InputError

_AT_A_TIME = 1024  # examples that are read together
_HELD = 2**24  # float32 holds all integers up to it


def leaves(data: Any, name: str = "data") -> list[Any]:
    """Returns the arrays of examples: one, those of a dictionary by its keys' order, or of a list.

    Args:
        data: As for `of_examples`.
        name: What messages call it.

    Raises:
        InputError: There are none, or they have different lengths.
    """
    if isinstance(data, Mapping):
        found = [data[name] for name in sorted(data)]
    elif isinstance(data, (list, tuple)) and data and all(hasattr(x, "shape") for x in data):
        found = list(data)
    else:
        found = [data if hasattr(data, "shape") else np.asarray(data)]
    lengths = {len(array) if array.shape else 0 for array in found}
    if len(lengths) != 1 or lengths == {0}:
        raise InputError(f"`{name}` must be arrays of at least one example, all of one length.")
    return found


def rows(data: Any, chosen: slice) -> Any:
    """Returns some examples, in the structure of `data`."""
    if isinstance(data, Mapping):
        return {name: np.asarray(array[chosen]) for name, array in data.items()}
    if isinstance(data, (list, tuple)) and data and all(hasattr(x, "shape") for x in data):
        return type(data)(np.asarray(array[chosen]) for array in data)
    return np.asarray(data[chosen])


def of_examples(data: Any, name: str = "data") -> np.ndarray:
    """Returns the keys of examples, uint64 `[examples]`.

    Args:
        data: Numbers or texts `[examples, ...]`: an array or what can be sliced like one, or a
            dictionary or list of these.
        name: What messages call it.
    """
    arrays = leaves(data, name)
    keys = np.empty(len(arrays[0]), "<u8")
    for first in range(0, len(keys), _AT_A_TIME):
        parts = [_contents(np.asarray(array[first : first + _AT_A_TIME])) for array in arrays]
        for row, contents in enumerate(zip(*parts, strict=True), start=first):
            keys[row] = _hash(b"\0".join(contents))
    return keys


def of_names(names: Any) -> np.ndarray:
    """Returns the keys of names or whole numbers `[examples]`, uint64 `[examples]`."""
    return np.array([_hash(f"name {name}".encode()) for name in np.asarray(names).tolist()], "<u8")


def given(keys: Any, name: str = "keys") -> np.ndarray:
    """Returns the keys of `keys` as a user gives them: examples, or a list of names.

    Args:
        keys: As for `of_examples`, or texts or whole numbers `[examples]`.
        name: What messages call it.
    """
    if are_names(keys):
        return of_names(keys)
    listed = not isinstance(keys, Mapping) and not hasattr(keys, "shape")
    return of_examples(np.asarray(keys) if listed else keys, name)


def are_names(keys: Any) -> bool:
    """Returns whether keys are texts or whole numbers `[examples]`, and no examples."""
    if isinstance(keys, Mapping) or len(getattr(keys, "shape", (0,))) != 1:
        return False
    array = np.asarray(keys)
    return array.ndim == 1 and array.dtype.kind in "iuUSO"


def _contents(array: np.ndarray) -> Iterator[bytes]:
    if array.dtype.kind in "USO":
        for row in array.reshape(len(array), -1).tolist():
            yield repr(
                [item.decode() if isinstance(item, bytes) else item for item in row]
            ).encode()
        return
    numbers = array.reshape(len(array), -1)
    # Zero is added for -0.0, which equals 0.0 and has other bits.
    flat = np.ascontiguousarray(numbers.astype("<f4") + np.float32(0))
    rounded = _are_rounded(numbers, flat)
    for row, of_integers, number in zip(flat, rounded, numbers, strict=True):
        yield (number.astype("<i8") if of_integers else row).tobytes()


def _are_rounded(numbers: np.ndarray, floats: np.ndarray) -> np.ndarray:
    """Returns which rows hold integers that float32 does not, bool `[examples]`.

    Args:
        numbers: `[examples, numbers]`, of any dtype.
        floats: The same as float32.
    """
    held = numbers.dtype.kind not in "iu" or numbers.dtype.itemsize < 4 or not numbers.size
    if held or (numbers.max() <= _HELD and numbers.min() >= -_HELD):
        return np.zeros(len(numbers), bool)
    wide = floats.astype(np.float64)
    fits = np.abs(wide) < 2.0**63
    there_and_back = np.where(fits, wide, 0.0).astype(np.int64)
    return np.any(~fits | (there_and_back != numbers.astype(np.int64)), axis=-1)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
