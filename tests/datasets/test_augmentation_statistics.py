"""Means and deviations of augmented images against Keras's own layers, of equal definitions."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from ban_tf.datasets import augmentation, color_jitter, policies, random_erasing, trivial_augment

DRAWS = 3000
SIZE = (12, 16, 1)


@pytest.fixture(scope="module")
def images():
    """One smooth image, as often as it is drawn; no value is clipped when the contrast changes."""
    rows, columns = np.meshgrid(*map(np.arange, SIZE[:2]), indexing="ij")
    image = 110 + 4 * rows + 25 * np.sin(columns / 3)
    return np.repeat(image.astype(np.uint8)[None, ..., None], DRAWS, axis=0)


def _only(module, **kept):
    """Returns images augmented by one part of an augmentation."""

    def augment(images):
        drawn = module.draw(DRAWS, tf.constant([1, 2]))
        still = {
            name: tf.cast(tf.fill([DRAWS], kept.get(name, 1)), drawn[0].dtype) for name in kept
        }
        return module.apply(tf.constant(images), drawn._replace(**still)).numpy()

    return augment


def _operation(name):
    index = trivial_augment.OPERATIONS.index(name)
    return _only(trivial_augment, operation=index)


def _random_crop(images):
    padding = [(policies.PADDING,) * 2] * 2
    padded = np.pad(images[0], [*padding, (0, 0)], mode="reflect")
    # The layer draws once for a batch.
    crop = layers.RandomCrop(*SIZE[:2], seed=1)
    data = tf.data.Dataset.from_tensors(padded.astype("float32")).repeat(DRAWS)
    return np.stack(list(data.map(crop).as_numpy_iterator()))


def _filled(layer, *factors):
    return layer(*factors, fill_mode="constant", fill_value=trivial_augment.FILL, seed=1)


def _layer(layer):
    return lambda images: np.asarray(layer(images.astype("float32"), training=True))


CASES = {
    "flip": (
        _only(augmentation, down=policies.PADDING, right=policies.PADDING),
        lambda: _layer(layers.RandomFlip("horizontal", seed=1)),
    ),
    "crop": (_only(augmentation, flip=0), lambda: _random_crop),
    "contrast": (
        _only(color_jitter, brightness=1, saturation=1),
        lambda: _layer(layers.RandomContrast((color_jitter.STRENGTH,) * 2, seed=1)),
    ),
    "rotate": (
        _operation("rotate"),
        lambda: _layer(_filled(layers.RandomRotation, trivial_augment.LARGEST_ANGLE / (2 * np.pi))),
    ),
    "translate_x": (
        _operation("translate_x"),
        lambda: _layer(_filled(layers.RandomTranslation, 0.0, trivial_augment.LARGEST_SHIFT)),
    ),
    "translate_y": (
        _operation("translate_y"),
        lambda: _layer(_filled(layers.RandomTranslation, trivial_augment.LARGEST_SHIFT, 0.0)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_images_have_the_means_and_deviations_of_keras_layers(name, images):
    ours, theirs = CASES[name]
    found, expected = ours(images).astype(float), theirs()(images)
    spread = expected.std(axis=0)
    # Five standard errors of the difference, and what rounding to bytes does.
    error = 5 * spread * np.sqrt(2 / DRAWS) + 0.5
    assert (np.abs(found.mean(axis=0) - expected.mean(axis=0)) < error).all()
    assert (np.abs(found.std(axis=0) - spread) < error).all()
    assert spread.max() > 5  # something moved


def test_as_many_images_are_erased_as_by_the_layer(images):
    share = random_erasing.PROBABILITY
    layer = layers.RandomErasing((share, share), fill_value=0.0, seed=1)
    found = random_erasing.apply(
        tf.constant(images), random_erasing.draw(DRAWS, tf.constant([1, 2]))
    )
    changed = [
        (np.asarray(other) != images).any(axis=(1, 2, 3)).mean()
        for other in (found, layer(images.astype("float32"), training=True))
    ]
    assert changed[0] == pytest.approx(changed[1], abs=5 * np.sqrt(2 * share * (1 - share) / DRAWS))
