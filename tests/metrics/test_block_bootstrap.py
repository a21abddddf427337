"""Intervals over blocks of a sequence, against a plain loop and against what they should cover."""

import numpy as np
import pytest

from ban_tf.errors import InputError
from ban_tf.metrics import block_bootstrap, bootstrap, tokens


def _dependent(generator, places, memory):
    noise = generator.normal(size=places)
    values = np.zeros(places)
    for place in range(places):
        values[place] = memory * values[place - 1] + noise[place]
    return values


def test_means_are_those_of_blocks_of_a_circle():
    values = np.random.default_rng(0).normal(size=(23, 2))
    found = block_bootstrap.means(values, replicates=7)
    starts = np.random.default_rng(20180501).integers(0, 23, (7, 5))  # blocks of five
    for replicate, row in zip(found, starts, strict=True):
        drawn = [values[(start + step) % 23] for start in row for step in range(5)]
        np.testing.assert_allclose(replicate, np.mean(drawn, axis=0))
    np.testing.assert_allclose(found[:, 1], block_bootstrap.means(values[:, 1], replicates=7))
    with pytest.raises(InputError, match=r"at least two values\. Received: 1"):
        block_bootstrap.means([1.0])


def test_intervals_cover_the_mean_of_dependent_values():
    """Of 100 sequences of mean zero, nearly 95 in 100; those of independent words far fewer."""
    generator = np.random.default_rng(1)
    covered = naive = 0
    for _ in range(100):
        values = _dependent(generator, 900, 0.7)
        low, high = bootstrap.interval(block_bootstrap.means(values, replicates=300))
        covered += low < 0 < high
        naive += abs(values.mean()) < 1.96 * values.std() / np.sqrt(len(values))
    assert 85 <= covered <= 99 and naive < 75


def test_p_values_are_uniform_without_a_difference_and_small_with_one():
    generator = np.random.default_rng(2)
    nothing, something = [], []
    for _ in range(60):
        values = _dependent(generator, 400, 0.5)
        nothing.append(bootstrap.p_value(block_bootstrap.means(values, 300)))
        something.append(bootstrap.p_value(block_bootstrap.means(values + 0.5, 300)))
    assert np.mean(np.array(nothing) < 0.05) < 0.2 and 0.3 < np.mean(nothing) < 0.7
    assert np.mean(np.array(something) < 0.05) > 0.7
    assert bootstrap.p_value(np.zeros(10)) == 1.0


def test_perplexities_are_compared_by_pairs_of_words():
    """What both models share cancels, so that the change is far more certain than either."""
    generator = np.random.default_rng(3)
    losses = 4.0 + _dependent(generator, 2500, 0.6)
    first = {"log_probability": -losses}
    second = {"log_probability": -(losses - 0.02 + 0.01 * generator.normal(size=2500))}
    change = tokens.change_in_perplexity(second, first)
    expected = np.exp(-second["log_probability"].mean()) - np.exp(losses.mean())
    assert change["difference"] == pytest.approx(expected)
    assert change["low"] < expected < change["high"] < 0 and change["p"] < 0.01
    low, high = tokens.perplexity_interval(first)
    assert low < np.exp(losses.mean()) < high
    assert high - low > 10 * (change["high"] - change["low"])
    assert tokens.change_in_perplexity(first, first)["p"] == 1.0
    assert tokens.perplexity_interval({"log_probability": np.array([-1.0])}) is None
