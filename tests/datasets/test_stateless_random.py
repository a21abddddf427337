"""NumPy's stateless random numbers against TensorFlow's, bit by bit."""

import numpy as np
import pytest
import tensorflow as tf

from ban_tf.datasets import stateless_random

SEEDS = [(0, 0), (7, -1), (-3, 2**31 - 1), (123456789, -5)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 5, 1003])
def test_all_draws_equal_those_of_tensorflow(seed, count):
    given = tf.constant(seed, tf.int32)
    np.testing.assert_array_equal(
        stateless_random.split(seed, count), tf.random.split(given, count)
    )
    for bound in (2, 9, 256):
        np.testing.assert_array_equal(
            stateless_random.integers(count, seed, bound),
            tf.random.stateless_uniform([count], given, 0, bound, tf.int32),
        )
    np.testing.assert_array_equal(
        stateless_random.uniform((count, 3), seed, 0.35, 1.25),
        tf.random.stateless_uniform([count, 3], given, 0.35, 1.25),
    )


@pytest.mark.parametrize("seed", [*SEEDS, (2**40 + 5, 17)])
@pytest.mark.parametrize("count", [1, 2, 7, 5000])
def test_permutations_equal_those_of_tensorflow(seed, count):
    np.testing.assert_array_equal(
        stateless_random.permutation(count, seed),
        tf.random.experimental.stateless_shuffle(tf.range(count), tf.constant(seed, tf.int64)),
    )


@pytest.mark.parametrize("alpha", [1.1, 2.0, 6.5])
def test_gamma_variates_equal_those_of_tensorflow(alpha):
    expected = tf.random.stateless_gamma([2, 700], SEEDS[3], alpha)  # some take several attempts
    found = stateless_random.gamma(1400, SEEDS[3], alpha).reshape(2, 700)
    np.testing.assert_allclose(found, expected, rtol=2e-7)
