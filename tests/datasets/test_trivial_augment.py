"""TrivialAugment's operations against Pillow's, and what is drawn."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

from ban_tf.datasets import trivial_augment as trivial

STRENGTHS = (-0.9, -0.4, 0.3, 0.8, 1.0)


def _images(channels=3, count=5, size=(40, 52)):
    """Smooth images, as photographs are, that do not use all of 0..255."""
    noise = np.random.default_rng(0).normal(size=(count, *size, channels))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    low, high = smooth.min(), smooth.max()
    return np.round(30 + 180 * (smooth - low) / (high - low)).astype(np.uint8)


def _applied(name, images, strengths=STRENGTHS):
    operation = tf.fill([len(images)], trivial.OPERATIONS.index(name))
    drawn = trivial.Drawn(operation, tf.constant(strengths, tf.float32))
    return trivial.apply(tf.constant(images), drawn).numpy()


def _pillow(name, image, strength):
    factor, size = 1 + trivial.LARGEST_FACTOR * strength, abs(strength)
    width, height = image.size
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "color": ImageEnhance.Color,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhance:
        return enhance[name](image).enhance(factor)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(4 * size))
    if name == "solarize":
        return ImageOps.solarize(image, math.ceil(256 * (1 - size)))
    if name in ("autocontrast", "equalize"):
        return getattr(ImageOps, name)(image)
    fill = (128,) * len(image.getbands()) if len(image.getbands()) > 1 else 128
    bilinear = Image.Resampling.BILINEAR
    if name == "rotate":
        degrees = math.degrees(trivial.LARGEST_ANGLE * strength)
        return image.rotate(-degrees, bilinear, fillcolor=fill)
    shear, shift = trivial.LARGEST_SHEAR * strength, trivial.LARGEST_SHIFT * strength
    six = {
        "shear_x": (1, shear, -shear * height / 2, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, -shear * width / 2),
        "translate_x": (1, 0, shift * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, shift * height),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, six, bilinear, fillcolor=fill)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", trivial.OPERATIONS[1:])
def test_each_operation_agrees_with_pillow(name, channels):
    images = _images(channels)
    found = _applied(name, images)
    for image, result, strength in zip(images, found, STRENGTHS, strict=True):
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        expected = np.asarray(_pillow(name, picture, strength)).reshape(image.shape)
        difference = np.abs(result.astype(int) - expected)
        if name in trivial.MAPS:
            # At the edge of the image, where Pillow does not blend with what is outside.
            assert np.mean(difference > 2) < 0.04
        else:
            assert difference.max() <= 1


def test_identity_and_images_of_one_value_stay():
    images = _images()
    np.testing.assert_array_equal(_applied("identity", images), images)
    flat = np.full((5, 40, 52, 3), 77, np.uint8)
    for name in ("autocontrast", "equalize", "sharpness", "color", "contrast"):
        np.testing.assert_array_equal(_applied(name, flat), flat)


def test_images_of_a_batch_do_not_affect_each_other():
    count = 2 * len(trivial.OPERATIONS)
    images, strengths = _images(count=count), np.linspace(-1, 1, count).astype("float32")
    operations = np.arange(count) % len(trivial.OPERATIONS)
    drawn = trivial.Drawn(tf.constant(operations), tf.constant(strengths))
    together = trivial.apply(tf.constant(images), drawn).numpy()
    for index in (0, 3, 8, 12, count - 1):
        alone = _applied(
            trivial.OPERATIONS[operations[index]],
            *(part[index : index + 1] for part in (images, strengths)),
        )
        np.testing.assert_array_equal(alone[0], together[index])


def test_operations_and_strengths_are_uniform():
    operation, strength = trivial.draw(14_000, tf.constant([1, 2]))
    counts = np.bincount(operation, minlength=len(trivial.OPERATIONS))
    assert len(counts) == 14
    assert stats.chisquare(counts).pvalue > 1e-3
    assert stats.kstest(strength, stats.uniform(-1, 2).cdf).pvalue > 1e-3
