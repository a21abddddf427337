"""Test images that nearly equal a training image: the warning and the file of a run."""

from __future__ import annotations

import json

from absl import logging

from ban_tf.datasets import ImageData, Split, near_duplicates
from ban_tf.runs import reading
from ban_tf.system import shown

_KEPT = 100  # pairs


def files(data: ImageData) -> dict[str, bytes]:
    """Warns of near-duplicates, and returns the file of a run that lists them, if there are any."""
    pairs = near_duplicates.find(data.test.images, data.train.images)
    if not len(pairs):
        return {}
    named = [
        [_name(data.test, test, data), _name(data.train, train, data)] for test, train in pairs
    ]
    logging.warning(
        "%d of %d test images nearly equal a training image, so that test results are too good "
        "(such as %s and %s); the report lists them.",
        len(pairs),
        len(data.test.labels),
        *map(shown.escaped, named[0]),
    )
    found = {
        "count": len(pairs),
        "test": [test for test, _ in named[:_KEPT]],
        "train": [train for _, train in named[:_KEPT]],
    }
    return {reading.NEAR_DUPLICATES: json.dumps(found, indent=1).encode()}


def _name(split: Split, index: int, data: ImageData) -> str:
    name = split.files[index] if split.files else f"example {index}"
    return name if data.of_numbers else f"{name} ({data.labels_of(split, index)})"
