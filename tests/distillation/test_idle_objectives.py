"""An objective that cannot teach, as its gradient is always zero, is refused before training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf import objectives

KINDS = [
    objectives.Labels(),
    objectives.KD(),
    objectives.KD(2.0, standardize=True),
    objectives.CWTM(),
    objectives.ImportanceWeighted(),
    objectives.DKPP(),
    objectives.DKD(),
    objectives.DKD(alpha=0.0),
    objectives.DKD(beta=0.0),
    objectives.DIST(),
    objectives.DIST(beta=0.0),
    objectives.DIST(gamma=0.0),
    objectives.Progressive(objectives.KD(standardize=True), steps=1),
]


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("objective", KINDS, ids=repr)
def test_exactly_what_has_no_gradient_is_called_idle(objective, classes, samples):
    generator = np.random.default_rng(0)
    teacher, student = generator.normal(size=(2, samples, classes))
    labels = generator.integers(0, classes, samples)
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        losses = objective(labels, tf.constant(teacher), student, seed=tf.constant([0, 9]))
        total = tf.reduce_sum(losses)
    largest = float(tf.reduce_max(tf.abs(tape.gradient(total, student))))
    assert (objective.why_idle(classes, samples) is not None) == (largest < 1e-9)


def network(units, activation=None, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, activation)])


IDLE = [
    ("kd-standardized", 1, "sigmoid"),
    ("kd-standardised", 1, None),
    ("kd-standardized", 2, None),
    ("kd-standardized", 2, "softmax"),
    ("kd-standardized+labels", 4, "sigmoid"),
    (objectives.DIST(gamma=0.0), 2, "softmax"),
    (objectives.DKD(alpha=0.0), 1, "sigmoid"),
    ({"output_0": objectives.KD(standardize=True)}, 2, None),
]


@pytest.mark.parametrize(("objective", "units", "activation"), IDLE)
def test_it_is_refused_before_training(objective, units, activation):
    networks = [network(units, activation, seed) for seed in (0, 1)]
    with pytest.raises(ValueError, match=r"`objective` .* cannot teach the output 'output_0': "):
        ban_tf.BornAgainModel(*networks, objective)
    trained = []

    def build():
        trained.append(network(units, activation))
        return trained[-1]

    with pytest.raises(ValueError, match="cannot teach"):
        ban_tf.Lineage(build, 1, objective).fit(np.zeros((8, 6)), np.zeros(8))
    assert all(not np.any(entry.get_weights()[1]) for entry in trained)


def test_it_cannot_be_assigned_either():
    model = ban_tf.BornAgainModel(network(2), network(2, seed=1), "kd")
    with pytest.raises(ValueError, match="cannot teach the output 'output_0'"):
        model.objective = "kd-standardized"
    assert not model.objective.standardize


class Unseen(keras.Model):
    """A model that shows the shape of its outputs only when it is called."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def test_where_classes_show_only_in_the_step_it_is_refused_there():
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    teacher, student = Unseen(), Unseen()
    for network in (teacher, student):
        network(x)
    model = ban_tf.BornAgainModel(student, teacher, "kd-standardized", student_activation="linear")
    model.compile("sgd")
    before = student.get_weights()
    with pytest.raises(ValueError, match=r"`objective` .* cannot teach the output"):
        model.fit(x, np.zeros(16, int), verbose=0)
    for one, two in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.nightly
def test_relations_between_samples_need_batches_of_three():
    x, y = np.random.default_rng(0).normal(size=(12, 6)), np.arange(12) % 2
    model = ban_tf.BornAgainModel(network(2), network(2, seed=1), "dist")
    model.compile("sgd")
    for batch_size in (1, 2):
        with pytest.raises(ValueError, match=r"cannot teach .* batches of at least 3 samples"):
            model.fit(x, y, batch_size=batch_size, verbose=0)
    model.fit(x, y, batch_size=3, verbose=0)
    model = ban_tf.BornAgainModel(network(3), network(3, seed=1), "dist")  # classes are related
    model.compile("sgd")
    model.fit(x, y, batch_size=1, verbose=0)


@pytest.mark.parametrize("options", [{"alpha": 0.0, "beta": 0.0}, {"beta": 0.0, "gamma": 0.0}])
def test_weights_that_are_all_zero_leave_no_loss(options):
    kind = objectives.DKD if "alpha" in options else objectives.DIST
    with pytest.raises(ValueError, match="are both 0, which leaves no loss"):
        kind(**options)


@pytest.mark.parametrize("temperature", [1e-9, 1e9])
def test_a_temperature_that_rounding_leaves_nothing_of_is_refused(temperature):
    with pytest.raises(ValueError, match=r"`temperature` must be from 1e-06 to 1e\+06"):
        objectives.KD(temperature)


def test_units_that_their_loss_makes_independent_are_refused_before_training():
    x, y = np.zeros((9, 6)), np.zeros((9, 3))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    trained = []

    def build():
        trained.append(network(3))
        return trained[-1]

    lineage = ban_tf.Lineage(build, 1, objectives.DKD(alpha=0.0))
    with pytest.raises(ValueError, match="cannot teach the output"):
        lineage.fit(x, y, compile={"optimizer": "sgd", "loss": loss})
    assert all(not np.any(entry.get_weights()[1]) for entry in trained)
