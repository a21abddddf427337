"""Pairs of the digits of scikit-learn side by side, 8x16, labelled with the digits in them."""

from __future__ import annotations

import numpy as np

from ban_tf.datasets import digits, resizing
from ban_tf.datasets.image_data import Parts, Reading, Split

_AS_THEY_ARE = Reading()
# The pairs do not depend on the seed of a run.
_SEED = 20240501


def load(how: Reading = _AS_THEY_ARE) -> Parts:
    """Returns the pairs at a size; see `datasets.load`.

    Digits of the test part are in test images alone. Two equal digits have a single label.

    Raises:
        InputError: They do not fit into memory at this size.
    """
    found = digits.load()
    train, test = (
        _pairs(split, len(found.class_names), _SEED + number)
        for number, split in enumerate((found.train, found.test))
    )
    size = how.image_size or train.images.shape[1:3]
    train, test = (
        Split(
            resizing.fit_arrays(np.asarray(part.images), size, how.resize, how.channels or 1),
            part.labels,
        )
        for part in (train, test)
    )
    return Parts(train, test, found.class_names)


def _pairs(split: Split, classes: int, seed: int) -> Split:
    """Pairs each digit with another one, drawn without replacement."""
    images, digit = np.asarray(split.images), split.labels
    second = np.random.default_rng(seed).permutation(len(digit))
    labels = np.zeros((len(digit), classes), np.int32)
    rows = np.arange(len(digit))
    labels[rows, digit] = labels[rows, digit[second]] = 1
    return Split(np.concatenate([images, images[second]], axis=2), labels)
