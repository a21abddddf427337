"""Nearly equal images are found, and different ones are not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ban_tf.datasets import near_duplicates


def _photographs(count, seed, side=48):
    """Smooth random color images."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    resized = [Image.fromarray(image).resize((side, side), Image.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in resized])


def _recompressed(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=60)
    return np.asarray(Image.open(content))


def test_recompressed_resized_and_brighter_copies_are_found_and_nothing_else():
    train, test = _photographs(600, seed=0), _photographs(300, seed=1)
    test[5] = _recompressed(train[400])
    test[290] = np.clip(train[7].astype(int) + 4, 0, 255)
    larger = Image.fromarray(train[3]).resize((80, 80))
    test[100] = np.asarray(larger.resize((48, 48)))
    assert near_duplicates.find(test, train).tolist() == [[5, 400], [100, 3], [290, 7]]


def test_the_most_similar_training_image_is_named():
    train = _photographs(3, seed=0)
    train[2] = train[1]
    train[1] = np.clip(train[1].astype(int) + 3, 0, 255)
    assert near_duplicates.find(train[2:], train).tolist() == [[0, 2]]


def test_flat_and_small_images_are_no_near_duplicates():
    flat = np.full((4, 40, 40, 1), 200, np.uint8)
    assert not len(near_duplicates.find(flat, flat))
    small = _photographs(4, seed=0, side=28)
    assert near_duplicates.find(small, small).shape == (0, 2)


def test_thumbnails_are_means_of_areas():
    images = _photographs(2, seed=0, side=72)
    expected = images.reshape(2, 8, 9, 9, 8, 3).mean(axis=(2, 4, 5))
    np.testing.assert_allclose(near_duplicates.thumbnails(images), expected, rtol=1e-6)
