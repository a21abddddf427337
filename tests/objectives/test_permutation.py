"""DKPP's permutations: what stays, what moves, and how evenly."""

import itertools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from ban_tf import objectives
from ban_tf.objectives.permutation import permute

SEED = np.array([7, 0], "int32")


@pytest.mark.parametrize("shape", [(50, 6), (20, 4, 6), (50, 2)])
def test_the_highest_stays_and_the_others_are_only_reordered(shape):
    logits = np.random.default_rng(0).normal(size=shape).astype("float32")
    found = np.asarray(permute(logits, SEED))
    np.testing.assert_array_equal(found.argmax(-1), logits.argmax(-1))
    np.testing.assert_array_equal(np.sort(found, axis=-1), np.sort(logits, axis=-1))
    if shape[-1] > 2:
        assert np.any(found != logits)


def test_of_several_highest_the_first_stays():
    logits = np.tile(np.array([0.0, 3.0, 1.0, 3.0, 2.0], "float32"), (200, 1))
    found = np.asarray(permute(logits, SEED))
    assert np.all(found[:, 1] == 3.0)
    assert set(np.argmax(found == 3.0, axis=-1)) <= {0, 1}
    # The other one moves like any other entry.
    assert all(np.any(found[:, place] == 3.0) for place in (0, 2, 3, 4))


@pytest.mark.parametrize("highest", [0, 2, 3])
def test_all_permutations_of_the_others_are_equally_likely(highest):
    logits = np.arange(4, dtype="float32")
    logits[highest] = 9.0
    found = np.asarray(permute(np.tile(logits, (6000, 1)), SEED))
    others = np.delete(found, highest, axis=-1)
    orders = list(itertools.permutations(np.delete(logits, highest)))
    counts = [int(np.sum(np.all(others == order, axis=-1))) for order in orders]
    assert sum(counts) == 6000
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_permutations_are_fresh_for_each_sample_and_each_step():
    logits = np.tile(np.arange(10, dtype="float32"), (20, 1))
    first = np.asarray(permute(logits, np.array([7, 0], "int32")))
    second = np.asarray(permute(logits, np.array([7, 1], "int32")))
    other_run = np.asarray(permute(logits, np.array([8, 0], "int32")))
    assert len(np.unique(first, axis=0)) == 20
    assert not np.any(np.all(first == second, axis=-1))
    assert not np.any(np.all(first == other_run, axis=-1))


def test_the_same_seed_gives_the_same_permutations_and_none_gives_new_ones():
    logits = np.tile(np.arange(10, dtype="float32"), (5, 1))
    np.testing.assert_array_equal(permute(logits, SEED), permute(logits, SEED))
    assert np.any(np.asarray(permute(logits)) != np.asarray(permute(logits)))


def test_keras_global_seed_governs_draws_without_a_seed():
    draws = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        draws.append(float(keras.random.uniform(())))
    if draws[0] != draws[1]:
        pytest.skip("In this Keras a global seed does not begin its own draws again.")
    logits = np.tile(np.arange(10, dtype="float32"), (5, 1))
    keras.utils.set_random_seed(1)
    first = np.asarray(permute(logits))
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(first, permute(logits))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_traced_step_draws_again_from_a_seed_that_is_a_tensor(jit_compile):
    objective = objectives.DKPP()
    random = np.random.default_rng(0)
    teacher, student = random.normal(size=(2, 8, 10)).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def step(number):
        return objective.losses(None, teacher, student, seed=tf.stack([7, number]))

    first, second = step(tf.constant(0)), step(tf.constant(1))
    assert step.experimental_get_tracing_count() == 1
    assert np.any(first.numpy() != second.numpy())
    eager = objective.losses(None, teacher, student, seed=np.array([7, 1], "int32"))
    if not jit_compile:  # compiled programs have a generator of their own
        np.testing.assert_allclose(second, eager, rtol=1e-5)


def test_a_traced_step_without_a_seed_draws_again_each_time():
    logits = np.tile(np.arange(10, dtype="float32"), (5, 1))
    traced = tf.function(lambda: permute(logits))
    assert np.any(traced().numpy() != traced().numpy())


def test_a_seed_may_be_one_integer():
    logits = np.tile(np.arange(10, dtype="float32"), (5, 1))
    np.testing.assert_array_equal(permute(logits, 7), permute(logits, [7, 0]))


def test_permuting_logits_permutes_probabilities():
    logits = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.softmax(permute(logits, SEED)),
        permute(keras.ops.softmax(logits), SEED),
        rtol=1e-5,
    )


def test_batches_of_unknown_size_are_permuted():
    @tf.function(input_signature=[tf.TensorSpec((None, None, 5))])
    def permuted(logits):
        return permute(logits, SEED)

    logits = np.random.default_rng(0).normal(size=(3, 2, 5)).astype("float32")
    found = permuted(logits).numpy()
    np.testing.assert_array_equal(np.sort(found, axis=-1), np.sort(logits, axis=-1))


def test_logits_that_are_no_numbers_stay_none_and_break_nothing():
    logits = np.array([[np.nan, np.nan, np.nan], [1.0, 2.0, 3.0]], "float32")
    permuted = np.array(permute(logits, seed=0))
    assert np.isnan(permuted[0]).all()
    assert permuted[1, 2] == 3.0
