"""Crops of random size against interpolation by NumPy, and what is drawn."""

import numpy as np
import tensorflow as tf
from scipy import ndimage, stats

from ban_tf.datasets import random_resized_crop as crops


def test_crops_agree_with_bilinear_interpolation():
    images = np.random.default_rng(0).integers(0, 256, (32, 20, 24, 3), dtype=np.uint8)
    drawn = crops.draw(32, tf.constant([1, 2]))
    found = crops.apply(tf.constant(images), drawn).numpy()
    assert found.dtype == np.uint8
    assert set(drawn.flip.numpy()) == {0, 1}
    for image, result, top, left, height, width, flip in zip(images, found, *drawn, strict=True):
        rows = (top + height * np.linspace(0, 1, 20)) * 19
        columns = (left + width * np.linspace(0, 1, 24)) * 23
        columns = columns[::-1] if flip else columns
        grid = np.meshgrid(rows, columns, indexing="ij")
        expected = np.stack(
            [
                ndimage.map_coordinates(channel, grid, float, 1)
                for channel in image.T.swapaxes(1, 2)
            ],
            axis=-1,
        )
        np.testing.assert_allclose(result, expected, atol=0.51)


def test_the_whole_image_is_the_image():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 1), dtype=np.uint8)
    zero, one = tf.zeros(2), tf.ones(2)
    whole = crops.Crop(zero, zero, one, one, tf.constant([0, 1]))
    found = crops.apply(tf.constant(images), whole).numpy()
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_array_equal(found[1], images[1, :, ::-1])


def test_crops_are_inside_and_their_sizes_are_in_range():
    top, left, height, width, _ = (part.numpy() for part in crops.draw(20_000, tf.constant([3, 4])))
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 1 + 1e-6
    area, ratio = height * width, width / height
    assert crops.SCALE[0] - 1e-3 <= area.min() < 0.36 < 0.97 < area.max()
    assert crops.RATIO[0] - 1e-3 <= ratio.min() < 0.77 < 1.3 < ratio.max() <= crops.RATIO[1] + 1e-3
    assert abs(np.log(ratio).mean()) < 0.01
    # A crop is anywhere inside, evenly.
    assert stats.kstest(top / (1 - height), "uniform").pvalue > 1e-3
    # Small crops always fit: their area is uniform.
    small = area[area < 0.5]
    assert stats.kstest(small, stats.uniform(0.35, 0.15).cdf).pvalue > 1e-3
