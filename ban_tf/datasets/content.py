"""A hash of the content of a dataset, by which a resumed run checks its data.

The hash does not depend on where the examples are stored. Up to two gigabytes are hashed
completely, in seconds. Of larger datasets the labels and evenly spaced images are hashed, since
reading all images would take too long.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.datasets.image_data import Split

_WHOLE = 2**31  # bytes of a split's images
_SAMPLED = 1024  # images of a larger one
_AT_A_TIME = 2**24  # bytes


def of_images(
    train: Split, test: Split, class_names: Sequence[str], validation: Split | None = None
) -> str:
    """Returns the hash of an image dataset.

    Args:
        train: All training examples, including validation examples, so that the hash does not
            depend on the seed.
        test: The test examples.
        class_names: In the order of the labels.
        validation: Validation examples that are not taken from the training examples.
    """
    parts = (train, test) if validation is None else (train, test, validation)
    arrays = [array for split in parts for array in (split.labels, _images(split))]
    return _hash(class_names, arrays)


def of_tokens(vocabulary: Sequence[str], parts: Sequence[np.ndarray]) -> str:
    """Returns the hash of a text.

    Args:
        vocabulary: The words.
        parts: Training, validation and test text, int32 `[tokens]` each.
    """
    return _hash(vocabulary, parts)


def of_documents(
    class_names: Sequence[str], texts: Sequence[str], labels: Sequence[np.ndarray]
) -> str:
    """Returns the hash of labeled texts.

    Args:
        class_names: In the order of the labels.
        texts: Those of all parts.
        labels: Of each part, int32 `[texts]`.
    """
    return _hash([*class_names, *texts], labels)


def _images(split: Split) -> Any:
    if math.prod(split.images.shape) <= _WHOLE:
        return split.images
    return split.images[:: len(split.labels) // _SAMPLED + 1]


def _hash(names: Sequence[str], arrays: Sequence[Any]) -> str:
    found = hashlib.sha256(json.dumps(list(names)).encode())
    for array in arrays:
        found.update(str((np.dtype(array.dtype).str, tuple(array.shape))).encode())
        size = max(1, _AT_A_TIME // max(1, math.prod(array.shape[1:])))
        for start in range(0, len(array), size):
            found.update(np.ascontiguousarray(array[start : start + size]).data)
    return found.hexdigest()[:16]
