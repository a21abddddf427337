"""The digits of scikit-learn, 16x16, each rotated by a known angle between -45 and 45 degrees."""

from __future__ import annotations

import numpy as np

from ban_tf.datasets import digits, resizing
from ban_tf.datasets.image_data import Parts, Reading, Split

ANGLE = "angle"
_AS_THEY_ARE = Reading()
_SIZE, _MOST = (16, 16), 45.0
# The angles do not depend on the seed of a run.
_SEED = 20261129


def load(how: Reading = _AS_THEY_ARE) -> Parts:
    """Returns the digits at a size, labelled with their angles in degrees, counterclockwise.

    Raises:
        InputError: They do not fit into memory at this size.
    """
    found = digits.load()
    train, test = _rotated(found.train, how, _SEED), _rotated(found.test, how, _SEED + 1)
    return Parts(train, test, (ANGLE,))


def _rotated(split: Split, how: Reading, seed: int) -> Split:
    from PIL import Image
    from PIL.Image import Resampling

    angles = np.random.default_rng(seed).uniform(-_MOST, _MOST, len(split.labels)).round(1)
    images = [
        np.asarray(
            Image.fromarray(image[..., 0])
            .resize(_SIZE, Resampling.BILINEAR)
            .rotate(angle, Resampling.BILINEAR)
        )
        for image, angle in zip(np.asarray(split.images), angles.tolist(), strict=True)
    ]
    size = how.image_size or _SIZE
    pixels = resizing.fit_arrays(np.stack(images)[..., None], size, how.resize, how.channels or 1)
    return Split(pixels, angles)
