"""The policies of `--augment`: the same view of an example in every batch, and their steps."""

import numpy as np
import pytest
import tensorflow as tf

from ban_tf import datasets
from ban_tf.datasets import color_jitter, pipeline, policies, random_erasing

NAMES = list(policies.POLICIES)


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_examples=60)


def _views(data, augment, **options):
    arguments = {"batch_size": 7, "view_seed": 5, "view": 1, "augment": augment} | options
    batches = pipeline.view_batches(data, **arguments)
    return np.concatenate(list(batches.as_numpy_iterator()))


def _rows(images):
    return {image.tobytes() for image in images}


@pytest.mark.first_cases(3)
@pytest.mark.parametrize("augment", NAMES)
def test_a_view_is_the_same_in_every_batch(data, augment):
    whole = _views(data, augment)
    np.testing.assert_array_equal(_views(data, augment), whole)
    np.testing.assert_array_equal(_views(data, augment, batch_size=60), whole)
    np.testing.assert_array_equal(_views(data, augment, first=11), whole[11:])
    if augment != "none":
        assert not np.array_equal(_views(data, augment, view=2), whole)
        assert not np.array_equal(_views(data, augment, view_seed=6), whole)
    # In training, shuffled, on one device and on the second of two replicas.
    arguments = {"batch_size": 18, "epochs": 3, "seed": 3, "view_seed": 5, "augment": augment}
    arguments |= {"first_epoch": 1, "num_shards": 1}
    steps = pipeline.steps_per_epoch(data, 18)
    batches = [*pipeline.training_batches(data, **arguments).take(steps).as_numpy_iterator()]
    assert _rows(np.concatenate([images for images, _ in batches])) <= _rows(whole)
    arguments |= {"num_shards": 2, "shard_range": range(1, 2)}
    parts = pipeline.training_batches(data, **arguments).take(steps).as_numpy_iterator()
    for (images, labels), (some, few) in zip(batches, parts, strict=True):
        np.testing.assert_array_equal(some, images[9:])
        np.testing.assert_array_equal(few, labels[9:])


@pytest.mark.parametrize("shape", [(9, 12, 1), (10, 8, 3), (8, 8, 4)])
@pytest.mark.parametrize("augment", NAMES)
def test_images_keep_shape_and_type(augment, shape):
    images = np.random.default_rng(0).integers(0, 256, (50, *shape), dtype=np.uint8)
    drawn = policies.draw(augment, 50, tf.constant([1, 2]))
    found = policies.apply(augment, tf.constant(images), drawn)
    assert (found.dtype, found.shape) == (tf.uint8, images.shape)
    assert np.array_equal(found, images) == (augment == "none")


@pytest.mark.parametrize(
    ("augment", "wanted", "size", "expected"),
    [
        ("auto", True, (32, 32, 3), "crop"),
        ("auto", True, (64, 80, 3), "standard"),
        ("auto", True, (64, 48, 3), "crop"),
        ("auto", True, (4, 32, 3), "none"),  # too small to be cropped
        ("auto", False, (64, 64, 1), "none"),
        ("yes", False, (96, 96, 3), "crop"),
        ("no", True, (32, 32, 3), "none"),
        ("strong", False, (8, 8, 1), "strong"),
    ],
)
def test_auto_depends_on_the_dataset_and_the_size(augment, wanted, size, expected):
    assert policies.resolve(augment, wanted, size) == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_agrees_with_numpy(channels):
    images = np.random.default_rng(0).integers(60, 160, (30, 6, 5, channels), dtype=np.uint8)
    drawn = color_jitter.draw(30, tf.constant([1, 2]))
    for factors in drawn:
        low, high = factors.numpy().min(), factors.numpy().max()
        assert 0.7 <= low < 0.75 < 1.25 < high < 1.3
    found = color_jitter.apply(tf.constant(images), drawn).numpy()
    weights = [0.299, 0.587, 0.114] if channels == 3 else [1.0]
    factors = np.array(drawn).T
    for image, result, (bright, contrast, color) in zip(images, found, factors, strict=True):
        expected = bright * image.astype(float)
        mean = (expected @ weights).mean()
        expected = mean + contrast * (expected - mean)
        gray = (expected @ weights)[..., None]
        expected = gray + color * (expected - gray)
        np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.51)


def test_erased_pixels_are_one_rectangle_of_one_gray():
    images = np.zeros((4000, 20, 30, 3), np.uint8)
    drawn = random_erasing.draw(4000, tf.constant([1, 2]))
    drawn = drawn._replace(level=tf.maximum(drawn.level, 1))
    found = random_erasing.apply(tf.constant(images), drawn).numpy()
    erased = found.any(-1)
    changed = erased.any((1, 2))
    np.testing.assert_array_equal(changed, drawn.erased)
    assert changed.mean() == pytest.approx(random_erasing.PROBABILITY, abs=0.03)
    areas = erased[changed].mean((1, 2))
    assert areas.min() < 0.04
    assert 0.3 < areas.max() < 0.37
    assert areas.mean() == pytest.approx(np.mean(random_erasing.AREA), abs=0.02)
    for image, area in zip(found[changed][:100], erased[changed], strict=False):
        np.testing.assert_array_equal(area, area.any(1)[:, None] & area.any(0))
        assert len(np.unique(image[area])) == 1
