"""Mixup: blends of images and of labels by the same shares, drawn from (seed, step)."""

import numpy as np
import pytest

from ban_tf.datasets import mixup


def _batch(size=8):
    images = np.random.default_rng(0).normal(size=(size, 4, 4, 1)).astype("float32")
    return images, np.arange(size) % 3


def test_images_and_labels_are_blended_alike():
    images, labels = _batch()
    mixed, soft = (np.asarray(entry) for entry in mixup.mix(images, labels, 3, 1.0, (1, 2)))
    np.testing.assert_allclose(soft.sum(-1), 1.0, rtol=1e-6)
    for place in range(8):
        other = 7 - place
        # The share of an example is what its image tells, by least squares.
        difference = images[place] - images[other]
        share = np.sum((mixed[place] - images[other]) * difference) / np.sum(difference**2)
        assert 0 <= share <= 1
        expected = share * np.eye(3)[labels[place]] + (1 - share) * np.eye(3)[labels[other]]
        np.testing.assert_allclose(soft[place], expected, atol=1e-5)


def test_shares_follow_the_beta_distribution():
    images, labels = np.zeros((20_000, 1), "float32"), np.arange(20_000) // 10_000
    _, soft = mixup.mix(images, labels, 2, 0.4, (0, 0))
    share = np.asarray(soft)[:10_000, 0]
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05)


def test_a_tiny_alpha_leaves_whole_examples():
    images, labels = _batch()
    mixed, soft = mixup.mix(images, labels, 3, 1e-4, (0, 0))
    assert np.isfinite(mixed).all()
    assert set(np.unique(np.round(soft, 4))) <= {0.0, 1.0}
