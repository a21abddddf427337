"""Identical images in two parts of a dataset, which spoil its evaluation, or with two labels."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Images of the first part are reported if they are in the second one, too.
_PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))


class Known(NamedTuple):
    """An image.

    Attributes:
        file: Its file.
        label: Its class, its labels or its number.
        digest: A hash of its pixels and size.
    """

    file: pathlib.Path
    label: float | tuple[int, ...]
    digest: bytes


def describe(parts: Mapping[str, Sequence[Known]]) -> str:
    """Returns in a line how many images are in two parts or have two labels, with an example each.

    Args:
        parts: The images of "train", "test" and perhaps "validation".

    Returns:
        Nothing if no image is.
    """
    found = []
    firsts = {part: {image.digest: image for image in reversed(parts[part])} for part in parts}
    for part, other in _PAIRS:
        shared = [
            (image, firsts[other][image.digest])
            for image in parts.get(part, ())
            if image.digest in firsts.get(other, {})
        ]
        if shared:
            found.append(f"{len(shared)} of {part} in {other} ({_such_as(*shared[0])})")
    by_digest: dict[bytes, dict[Any, Known]] = collections.defaultdict(dict)
    for image in (image for images in parts.values() for image in images):
        by_digest[image.digest].setdefault(image.label, image)
    several = [list(classes.values()) for classes in by_digest.values() if len(classes) > 1]
    if several:
        found.append(f"{len(several)} with more than one label ({_such_as(*several[0][:2])})")
    return ", ".join(found)


def _such_as(one: Known, other: Known) -> str:
    return f"such as {one.file} and {other.file}"
