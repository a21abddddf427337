"""Arguments and assignments that would do nothing: each has an effect, or an error."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import CLASSES, data, network, sgd

import ban_tf
from ban_tf import objectives

X, Y = data(24)
InputError = ban_tf.errors.InputError


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_the_temperature_of_an_objective_in_use_is_assigned_to_the_model():
    model = ban_tf.BornAgainModel(network(0), network(1), "kd", temperature=2.0)
    with pytest.raises(InputError, match="assign `temperature` of the model"):
        model.objective.temperature = 5.0
    assert model.temperature == model.objective.temperature == 2.0
    model.temperature = 5.0
    assert model.objective.temperature == 5.0
    with pytest.raises(InputError, match="assign `temperature` of the model"):
        model.objective.temperature = 2.0


def test_other_arguments_of_an_objective_in_use_are_assigned_with_a_new_objective():
    given = objectives.DKD(alpha=1.0, beta=2.0)
    given.beta = 3.0  # nobody uses it yet
    model = ban_tf.BornAgainModel(network(0), network(1), {"output_0": given})
    with pytest.raises(InputError, match="another objective to `objective` of the model"):
        given.beta = 4.0
    for other in (copy.copy(given), copy.deepcopy(given)):
        other.beta = 4.0
        model.objective = {"output_0": other}
        assert model.objective["output_0"].beta == 4.0
    assert given.beta == 3.0


@pytest.mark.nightly
def test_what_an_objective_notes_for_itself_is_its_own():
    class Counting(objectives.KD):
        calls = 0

        def losses(self, *arguments, **options):
            self.calls += 1
            return super().losses(*arguments, **options)

    model = ban_tf.BornAgainModel(network(0), network(1), Counting())
    model.compile(sgd(), sparse())
    model.fit(X, Y, verbose=0)


def test_labels_alone_leave_out_no_distillation_losses():
    terms = [keras.distillation.LogitsDistillation()]
    with pytest.raises(InputError, match=r"`distillation_losses`.* give objective='kd\+labels'"):
        ban_tf.BornAgainModel(network(0), network(1), "labels", distillation_losses=terms)
    model = ban_tf.BornAgainModel(network(0), network(1), distillation_losses=terms)
    with pytest.raises(InputError, match="`distillation_losses`"):
        model.objective = "labels"
    with pytest.raises(InputError, match="`distillation_losses`"):
        ban_tf.Lineage(lambda: network(0), objective="labels", distillation_losses=terms)


@pytest.mark.parametrize("form", ["arrays", "data set"])
def test_class_weights_beside_weights_by_term_are_refused(form):
    model = ban_tf.BornAgainModel(network(0), network(1))
    model.compile(sgd(), sparse())
    weights = {"labels": np.ones(24, "float32"), "teacher": np.ones(24, "float32")}
    given = {"x": X, "y": Y, "sample_weight": weights}
    if form == "data set":
        given = {"x": tf.data.Dataset.from_tensor_slices((X, Y, weights)).batch(8)}
    with pytest.raises(InputError, match=r"`class_weight` cannot be .*sample_weight\['labels'\]"):
        model.fit(**given, class_weight={0: 2.0, 1: 1.0, 2: 1.0, 3: 1.0}, verbose=0)


class LogOfSoftmax(keras.Model):
    def __init__(self, seed):
        super().__init__()
        self.inner = network(seed)

    def call(self, inputs):
        return keras.ops.log(keras.ops.softmax(self.inner(inputs)))


def graph(last):
    def make(seed):
        inner = network(seed)
        return keras.Model(inner.inputs, last(inner.outputs[0]))

    return make


LOGARITHMS = {
    "subclass": LogOfSoftmax,
    "log of softmax": graph(lambda z: keras.ops.log(keras.ops.softmax(z))),
    "log-softmax": graph(keras.ops.log_softmax),
    "activation": graph(keras.layers.Activation("log_softmax")),
    "Lambda": graph(keras.layers.Lambda(lambda z: keras.ops.log(keras.ops.softmax(z)))),
}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", LOGARITHMS)
def test_log_probabilities_are_logits(name):
    student, teacher = (LOGARITHMS[name](seed) for seed in (0, 1))
    q, p = (np.float64(model(X)) for model in (student, teacher))
    model = ban_tf.BornAgainModel(student, teacher, "kd+labels")
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=name != "subclass")
    found = model.fit(X, Y, batch_size=24, verbose=0).history
    divergence = np.sum(np.exp(p) * (p - q), axis=-1).mean()
    np.testing.assert_allclose(found["teacher_loss"], [divergence], rtol=1e-4)
    np.testing.assert_allclose(found["label_loss"], [-q[np.arange(24), Y].mean()], rtol=1e-4)


@pytest.mark.parametrize("form", ["name", "loss", "own"])
def test_smoothing_of_the_objective_is_refused_where_another_loss_counts(form):
    student = network(0, activation="softmax")
    model = ban_tf.BornAgainModel(student, None, objectives.Labels(label_smoothing=0.3))
    losses = {
        "name": "categorical_crossentropy",
        "loss": keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        "own": None,
    }
    if form == "own":
        student.compute_loss = lambda *_, **options: keras.ops.zeros(())
    model.compile(sgd(), losses[form])
    one_hot = np.eye(CLASSES)[Y]
    with pytest.raises(InputError, match=r"`label_smoothing` of the objective is 0\.3"):
        model.train_on_batch(X, one_hot)


def test_smoothing_of_the_objective_may_be_that_of_the_loss():
    found = []
    for loss in (None, keras.losses.CategoricalCrossentropy(label_smoothing=0.3)):
        student = network(0, activation="softmax")
        model = ban_tf.BornAgainModel(student, None, objectives.Labels(label_smoothing=0.3))
        model.compile(sgd(), loss)
        found.append(model.evaluate(X, np.eye(CLASSES)[Y], verbose=0))
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_smoothing_is_compared_for_each_output():
    inputs = keras.Input((4,))
    heads = {"p": keras.layers.Dense(3, name="p"), "q": keras.layers.Dense(3, name="q")}
    loss = {
        "p": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        "q": keras.losses.MeanSquaredError(),
    }
    labels = {"p": np.eye(3)[[0, 1]], "q": np.zeros((2, 3))}

    def train(objective):
        student = keras.Model(inputs, {name: head(inputs) for name, head in heads.items()})
        model = ban_tf.BornAgainModel(student, None, objective)
        model.compile(sgd(), loss)
        return model.train_on_batch(np.zeros((2, 4)), labels)

    smoothed = objectives.Labels(label_smoothing=0.1)
    assert np.isfinite(train(smoothed)).all()  # of the outputs with classes
    with pytest.raises(InputError, match=r"`label_smoothing` of the objective is 0\.1"):
        train({"p": smoothed, "q": smoothed})
