"""CutMix, and the choice between it and mixup, drawn from (seed, step)."""

import numpy as np
import pytest
import tensorflow as tf

from ban_tf.datasets import cutmix, mixing, numpy_batches, numpy_mixing

ALPHAS = [
    {"mixup_alpha": 0.2},
    {"cutmix_alpha": 1.0},
    {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
]


def _batch(size=8):
    images = np.random.default_rng(0).normal(size=(size, 6, 5, 1)).astype("float32")
    return images, np.arange(size) % 3


def test_labels_count_the_pixels_of_the_rectangle():
    images, labels = _batch(200)
    mixed, soft = (np.asarray(entry) for entry in cutmix.cut(images, labels, 3, 1.0, (1, 2)))
    kept = np.all(mixed == images, axis=-1)
    assert np.all(kept | np.all(mixed == images[::-1], axis=-1))
    for index in range(200):
        pasted = ~kept[index]
        rows, columns = pasted.any(1), pasted.any(0)
        np.testing.assert_array_equal(pasted, rows[:, None] & columns)  # a rectangle
        assert all(np.diff(np.flatnonzero(line)).max(initial=1) == 1 for line in (rows, columns))
        share, other = kept[index].mean(), 199 - index
        expected = share * np.eye(3)[labels[index]] + (1 - share) * np.eye(3)[labels[other]]
        np.testing.assert_allclose(soft[index], expected, atol=1e-6)


def test_the_size_of_rectangles_follows_the_beta_distribution():
    images, labels = np.zeros((20_000, 64, 1, 1), "float32"), np.arange(20_000) // 10_000
    _, soft = cutmix.cut(images, labels, 2, 1.0, (0, 0))
    pasted = 1.0 - np.asarray(soft)[:10_000, 0]
    # A center anywhere: the only column is inside with the probability of the extent, and an edge
    # cuts a quarter of the extent off the rows, in the mean.
    extent = np.sqrt(np.random.default_rng(0).random(100_000))
    assert np.mean(pasted > 0) == pytest.approx(extent.mean(), abs=0.02)
    assert pasted.mean() == pytest.approx((extent**2 * (1 - extent / 4)).mean(), abs=0.02)


@pytest.mark.parametrize("alphas", ALPHAS, ids=["mixup", "cutmix", "both"])
def test_a_pipeline_started_late_draws_what_it_would_have_drawn(alphas):
    batches = tf.data.Dataset.from_tensors(_batch()).repeat(5)
    whole = list(mixing.mixed_batches(batches, 3, seed=4, **alphas).as_numpy_iterator())
    late = mixing.mixed_batches(batches.skip(3), 3, seed=4, first_step=3, **alphas)
    for (images, labels), (late_images, late_labels) in zip(whole[3:], late, strict=True):
        np.testing.assert_array_equal(images, late_images)
        np.testing.assert_array_equal(labels, late_labels)
    assert not np.allclose(whole[0][0], whole[1][0])


def test_beside_mixup_each_batch_has_one_of_both():
    images, labels = _batch()
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(40)
    mixed = mixing.mixed_batches(batches, 3, seed=4, **ALPHAS[-1]).as_numpy_iterator()
    pasted = [bool(np.all((found == images) | (found == images[::-1]))) for found, _ in mixed]
    assert 10 < sum(pasted) < 30


@pytest.mark.parametrize("alphas", ALPHAS, ids=["mixup", "cutmix", "both"])
def test_replicas_share_a_mixed_batch(alphas):
    batches = tf.data.Dataset.from_tensors(_batch()).repeat(3)
    whole = list(mixing.mixed_batches(batches, 3, seed=4, **alphas).as_numpy_iterator())
    share = {"num_shards": 4, "shard_range": range(1, 3)}
    parts = list(mixing.mixed_batches(batches, 3, seed=4, **alphas, **share).as_numpy_iterator())
    for step, (images, labels) in enumerate(whole):
        some = parts[2 * step : 2 * step + 2]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in some]), images[2:6])
        np.testing.assert_array_equal(np.concatenate([part[1] for part in some]), labels[2:6])


@pytest.mark.parametrize("alphas", ALPHAS, ids=["mixup", "cutmix", "both"])
def test_batches_without_tensorflow_are_mixed_alike(alphas):
    images, labels = _batch(16)
    arguments = {"seed": 2**40 + 7, "first_step": 5, **alphas}
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(8)
    theirs = mixing.mixed_batches(batches, 3, **arguments)
    ours = numpy_mixing.mixed_batches(
        numpy_batches.NumpyBatches(lambda number: (images, labels), 8), 3, **arguments
    )
    for found, expected in zip(ours, theirs.as_numpy_iterator(), strict=True):
        for part, same in zip(found, expected, strict=True):
            assert part.dtype == same.dtype
            np.testing.assert_allclose(part, same, atol=2e-6)


@pytest.mark.parametrize("alphas", ALPHAS, ids=["mixup", "cutmix", "both"])
def test_workers_without_tensorflow_share_a_mixed_batch(alphas):
    def mixed(**share):
        batches = numpy_batches.NumpyBatches(lambda number: _batch(), 3)
        return numpy_mixing.mixed_batches(batches, 3, seed=4, **alphas, **share)

    for whole, parts in zip(mixed(), mixed(num_shards=4, shard_range=range(1, 3)), strict=True):
        for array, part in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(part, array[2:6])
