from __future__ import annotations

import numpy as np
import pytest

from ban_tf import datasets
from ban_tf.datasets import splits


def test_digits_have_their_sizes_and_a_stratified_validation_split():
    data = datasets.load("digits", validation_fraction=0.2)
    assert data.input_shape == (8, 8, 1)
    assert data.num_classes == 10
    assert not data.augment
    assert len(data.test.labels) == 360
    assert len(data.train.labels) + len(data.validation.labels) == 1437
    whole = np.bincount(data.train.labels) + np.bincount(data.validation.labels)
    np.testing.assert_array_less(np.abs(np.bincount(data.validation.labels) - 0.2 * whole), 1)
    assert data.train.images.dtype == np.uint8
    assert data.train.images.max() == 255


def test_the_seed_chooses_the_validation_split_but_never_the_test_split():
    first, again, other = (datasets.load("digits", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.validation.images, again.validation.images)
    assert not np.array_equal(first.validation.images, other.validation.images)
    np.testing.assert_array_equal(first.test.images, other.test.images)


def test_no_validation_split_when_none_is_wanted():
    data = datasets.load("digits", validation_fraction=0.0, train_examples=100)
    assert len(data.train.labels) == 100
    assert data.validation.images.shape == (0, 8, 8, 1)


def test_statistics_agree_with_float64():
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), dtype=np.uint8)
    images[..., 2] = 7
    mean, std = splits.channel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std[:2], scaled.std((0, 1, 2))[:2], rtol=1e-6)
    assert std[2] > 0
    assert mean.dtype == std.dtype == np.float32


@pytest.mark.parametrize("fraction", [-0.1, 0.6])
def test_a_validation_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="validation_fraction"):
        datasets.load("digits", validation_fraction=fraction)


@pytest.mark.parametrize("count", [-5, 0, 5000])
def test_training_examples_that_are_not_there_are_refused(count):
    with pytest.raises(ValueError, match=rf"train_examples={count} .*1437"):
        datasets.load("digits", train_examples=count)


def test_an_empty_name_is_refused():
    with pytest.raises(ValueError, match="`name` is empty"):
        datasets.check("")
