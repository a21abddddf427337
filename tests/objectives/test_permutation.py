"""DKPP's permutations: the highest stays, the others move uniformly, all from the seed."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ban_tf.objectives.permutation import permute


def _logits(shape=(64, 6), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(64, 6), (8, 3, 6), (5, 2)])
def test_the_highest_stays_and_the_others_are_only_moved(shape):
    logits = _logits(shape)
    permuted = permute(tf.constant(logits), tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(permuted.argmax(-1), logits.argmax(-1))
    np.testing.assert_array_equal(np.sort(permuted, -1), np.sort(logits, -1))


def test_of_several_highest_the_first_stays():
    logits = np.tile(np.float32([0.0, 5.0, 1.0, 5.0, 2.0]), (200, 1))
    permuted = permute(tf.constant(logits), tf.constant([1, 2])).numpy()
    assert np.all(permuted[:, 1] == 5.0)
    assert {tuple(np.flatnonzero(row == 5.0)) for row in permuted} == {
        (0, 1),
        (1, 2),
        (1, 3),
        (1, 4),
    }


def test_the_others_are_permuted_uniformly():
    examples, classes = 24000, 5
    logits = np.tile(np.float32([0.0, 1.0, 9.0, 2.0, 3.0]), (examples, 1))
    permuted = permute(tf.constant(logits), tf.constant([5, 6])).numpy()
    assert np.all(permuted[:, 2] == 9.0)
    rest = np.delete(permuted, 2, axis=1)
    _, counts = np.unique(rest, axis=0, return_counts=True)
    assert len(counts) == 24 == np.prod(range(1, classes))
    assert stats.chisquare(counts).pvalue > 0.01


def test_samples_and_steps_draw_afresh_and_seeds_repeat():
    logits = tf.constant(np.tile(_logits((1, 10)), (50, 1)))
    first = permute(logits, tf.constant([7, 0])).numpy()
    assert len(np.unique(first, axis=0)) > 45
    assert np.any(first != permute(logits, tf.constant([7, 1])).numpy())
    assert np.any(first != permute(logits, tf.constant([8, 0])).numpy())
    np.testing.assert_array_equal(first, permute(logits, tf.constant([7, 0])))


def test_the_seed_may_be_a_tensor_of_a_traced_function():
    logits = tf.constant(_logits())
    traced = tf.function(lambda step: permute(logits, tf.stack([3, step])))
    for step in range(3):
        np.testing.assert_array_equal(traced(tf.constant(step)), permute(logits, [3, step]))
