"""Losses between features, against plain loops in float64."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf.objectives import feature_losses
from ban_tf.objectives.feature_names import FEATURE_LOSSES

RNG = np.random.default_rng(0)
MAPS = (5, 3, 2, 4)


def _fitnets(theirs, ours):
    return np.mean((theirs - ours) ** 2)


def _attention(theirs, ours):
    total = 0.0
    for one, other in zip(theirs, ours, strict=True):
        maps = [np.sum(features**2, axis=-1).ravel() for features in (one, other)]
        maps = [energy / np.sqrt(np.sum(energy**2)) for energy in maps]
        total += np.sum((maps[0] - maps[1]) ** 2)
    return total / len(theirs)


def _cosine(theirs, ours):
    theirs, ours = (x.reshape(-1, x.shape[-1]) for x in (theirs, ours))
    cosines = [
        one @ other / np.sqrt((one @ one) * (other @ other))
        for one, other in zip(theirs, ours, strict=True)
    ]
    return 1.0 - np.mean(cosines)


def _huber(x):
    return np.mean([0.5 * v * v if abs(v) < 1 else abs(v) - 0.5 for v in x])


def _relational(theirs, ours):
    """Relational knowledge distillation, over all pairs and triplets."""
    size, found = len(theirs), []
    for x in (theirs, ours):
        distances = [
            np.linalg.norm(x[i] - x[j]) for i, j in itertools.product(range(size), [*range(size)])
        ]
        mean = np.mean([d for d in distances if d > 0])
        angles = []
        for i, j, k in itertools.product(range(size), repeat=3):
            one, other = x[j] - x[i], x[k] - x[i]
            norm = np.linalg.norm(one) * np.linalg.norm(other)
            angles.append(one @ other / norm if norm else 0.0)
        found.append((np.array(distances) / mean, np.array(angles)))
    (d, a), (other_d, other_a) = found
    return _huber(d - other_d) + 2 * _huber(a - other_a)


# The reference, and the shapes of the teacher's and the student's features.
CASES = {
    "fitnets": (_fitnets, MAPS, MAPS),
    "attention": (_attention, MAPS, (5, 3, 2, 7)),
    "cosine": (_cosine, MAPS, MAPS),
    "relational": (_relational, (5, 4), (5, 3)),
}


def test_every_name_has_its_loss():
    assert tuple(feature_losses.LOSSES) == FEATURE_LOSSES == tuple(CASES)


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_a_plain_loop(name):
    reference, *shapes = CASES[name]
    theirs, ours = (RNG.normal(size=shape) for shape in shapes)
    found = feature_losses.LOSSES[name].function(*(x.astype("float32") for x in (theirs, ours)))
    np.testing.assert_allclose(float(found), reference(theirs, ours), rtol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_differences_in_float64(name):
    reference, *shapes = CASES[name]
    theirs, ours = (np.random.default_rng(1).normal(size=shape) for shape in shapes)
    variable = tf.Variable(ours.astype("float32"))
    with tf.GradientTape() as tape:
        loss = feature_losses.LOSSES[name].function(
            tf.constant(theirs, "float32"), tf.convert_to_tensor(variable)
        )
    gradient = tape.gradient(loss, variable).numpy().ravel()
    step, numeric = 1e-6, []
    for index in range(0, ours.size, 5):
        ends = []
        for sign in (1, -1):
            moved = ours.copy()
            moved.ravel()[index] += sign * step
            ends.append(reference(theirs, moved))
        numeric.append((ends[0] - ends[1]) / (2 * step))
    np.testing.assert_allclose(gradient[::5], numeric, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("make", [np.zeros, np.ones])
def test_dead_and_equal_features_have_finite_gradients(name, make):
    _, *shapes = CASES[name]
    theirs, ours = (make(shape, "float32") for shape in shapes)
    variable = tf.Variable(ours)
    with tf.GradientTape() as tape:
        loss = feature_losses.LOSSES[name].function(theirs, tf.convert_to_tensor(variable))
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


def test_what_is_free_of_scale_is_so():
    theirs, ours = (keras.ops.convert_to_tensor(RNG.normal(size=(6, 4)), "float32") for _ in "ab")
    for name in ("cosine", "relational"):
        function = feature_losses.LOSSES[name].function
        one, other = function(theirs, ours), function(3.0 * theirs, 0.5 * ours)
        np.testing.assert_allclose(one, other, rtol=1e-4)
    attention = feature_losses.LOSSES["attention"].function
    maps = RNG.normal(size=MAPS).astype("float32")
    np.testing.assert_allclose(attention(maps, 2.0 * maps), 0.0, atol=1e-6)
