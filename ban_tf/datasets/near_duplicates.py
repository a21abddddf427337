"""Test images that nearly equal a training image, such as the next picture of a series.

Images are compared by the signs of the differences between neighbors in a small gray thumbnail
(dHash: Krawetz, 2013, "Kind of Like That"), then by the thumbnails themselves. The comparison is a
product of matrices, so that tens of thousands of images take seconds.
"""

from __future__ import annotations

import itertools

import numpy as np

from ban_tf.datasets.image_data import Rows

SMALLEST = 32  # pixels of a side, below which different images have alike thumbnails
_HEIGHT, _WIDTH = 8, 9
_MOST_BITS = 3  # of 64, in which the hashes may differ
_MOST_DIFFERENCE = 8.0  # mean absolute one of the thumbnails, of 255
_LEAST_CONTRAST = 6.0  # standard deviation of a thumbnail; flat images are all alike
_MOST_PAIRS = 5_000_000_000  # more take minutes
_CHUNK = 256  # images at a time


def find(test: np.ndarray | Rows, train: np.ndarray | Rows) -> np.ndarray:
    """Returns the test images that nearly equal a training image, with the most similar one.

    Args:
        test: uint8 `[images, height, width, channels]`, in memory or on disk.
        train: Likewise.

    Returns:
        Integers `[pairs, 2]`: the index of a test image, each at most once, and of a training
        image. Empty for images below `SMALLEST` pixels, and for more than some billions of pairs.
    """
    none = np.empty((0, 2), np.int64)
    too_many = len(test) * len(train) > _MOST_PAIRS
    if min(test.shape[1:3]) < SMALLEST or not len(test) or not len(train) or too_many:
        return none
    test_thumbnails, train_thumbnails = thumbnails(test), thumbnails(train)
    train_signs = _signs(train_thumbnails).T.copy()
    found = [none]
    for start in range(0, len(test_thumbnails), _CHUNK):
        some = test_thumbnails[start : start + _CHUNK]
        # Of equal signs the product is 64; a sign that differs takes 2 away.
        alike = _signs(some) @ train_signs >= train_signs.shape[0] - 2 * _MOST_BITS
        rows, columns = np.nonzero(alike)
        differences = np.abs(some[rows] - train_thumbnails[columns]).mean(axis=(1, 2))
        close = (differences <= _MOST_DIFFERENCE) & (some[rows].std(axis=(1, 2)) >= _LEAST_CONTRAST)
        rows, columns, differences = rows[close], columns[close], differences[close]
        order = np.lexsort((columns, differences, rows))
        _, first = np.unique(rows[order], return_index=True)
        chosen = order[first]
        found.append(np.stack([rows[chosen] + start, columns[chosen]], axis=1))
    return np.concatenate(found)


def thumbnails(images: np.ndarray | Rows) -> np.ndarray:
    """Returns gray thumbnails, each pixel the mean of an area, float32 `[images, 8, 9]`.

    Args:
        images: uint8 `[images, height, width, channels]`.
    """
    height, width = images.shape[1:3]
    tops = np.linspace(0, height, _HEIGHT + 1).astype(int)
    lefts = np.linspace(0, width, _WIDTH + 1).astype(int)
    areas = np.diff(tops)[:, np.newaxis] * np.diff(lefts) * images.shape[3]
    found = np.empty((len(images), _HEIGHT, _WIDTH), np.float32)
    for start in range(0, len(images), _CHUNK):
        some = np.asarray(images[start : start + _CHUNK])
        rows = [some[:, top:end].sum(1, np.uint32) for top, end in itertools.pairwise(tops)]
        gray = np.add.reduceat(np.stack(rows, 1), lefts[:-1], axis=2).sum(axis=3)
        found[start : start + _CHUNK] = gray / areas
    return found


def _signs(found: np.ndarray) -> np.ndarray:
    """Returns the hashes of thumbnails as ones and minus ones, float32 `[images, 64]`."""
    brighter = found[:, :, 1:] > found[:, :, :-1]
    return np.where(brighter, 1.0, -1.0).astype(np.float32).reshape(len(found), -1)
