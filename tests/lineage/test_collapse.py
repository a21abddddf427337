"""Generations that do no better than chance, whatever the accuracy is called."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.lineage import collapse

layers = keras.layers
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :3].argmax(-1)


def network():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def two_heads():
    inputs = keras.Input((4,))
    heads = [layers.Dense(3, name="a")(inputs), layers.Dense(3, name="b")(inputs)]
    return keras.Model(inputs, heads)


class OwnMetrics(keras.Sequential):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"share": 0.5}


def own_metrics():
    return OwnMetrics([keras.Input((4,)), layers.Dense(3)])


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


ACCURACIES = {
    "accuracy": {"metrics": ["accuracy"]},
    "acc": {"metrics": ["acc"]},
    "by its full name": {"metrics": ["sparse_categorical_accuracy"]},
    "object": {"metrics": [keras.metrics.SparseCategoricalAccuracy(name="my_accuracy")]},
    "weighted": {"weighted_metrics": ["accuracy"]},
    "beside others": {"metrics": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]},
    "function": {"metrics": [keras.metrics.sparse_categorical_accuracy]},
}


@pytest.mark.first_cases(2)
@pytest.mark.parametrize("chance", [0.0, 1.0])
@pytest.mark.parametrize("case", ACCURACIES)
def test_any_accuracy_shows_a_collapse(case, chance):
    lineage = ban_tf.Lineage(network, generations=0, chance=chance)
    # No step moves the weights: what is measured is that of the first ones.
    still = {"optimizer": keras.optimizers.SGD(0.0), "run_eagerly": True}
    compile = {**still, "loss": sparse(), **ACCURACIES[case]}
    lineage.fit(X, Y, validation_split=0.5, compile=compile, verbose=0)
    right = np.argmax(lineage.model(0)(X[16:]), axis=-1) == Y[16:]
    assert 0 < right.mean() < 1
    assert lineage.generations[0].collapsed == (right.mean() <= chance)


@pytest.mark.nightly
def test_the_accuracy_of_the_one_output_that_has_it_shows_a_collapse():
    lineage = ban_tf.Lineage(two_heads, generations=0, chance=1.0)
    compile = {"loss": [sparse(), sparse()], "metrics": [["accuracy"], []]}
    compile |= {"optimizer": "sgd", "run_eagerly": True}
    lineage.fit(X, [Y, Y], validation_data=(X, [Y, Y]), compile=compile, verbose=0)
    assert "val_a_accuracy" in lineage.history[0]
    assert lineage.generations[0].collapsed


VALIDATION = {"validation_data": (X, Y)}


@pytest.mark.parametrize(
    ("build", "options", "metrics", "message"),
    [
        (network, {}, ["accuracy"], "give `validation_data`"),
        (network, VALIDATION, None, "given no such metric"),
        (network, VALIDATION, [keras.metrics.SparseTopKCategoricalAccuracy(2)], "no such metric"),
        (
            network,
            VALIDATION,
            ["sparse_categorical_accuracy", keras.metrics.SparseCategoricalAccuracy(name="my_acc")],
            "given several",
        ),
        (
            two_heads,
            {"validation_data": (X, [Y, Y])},
            [["accuracy"], ["accuracy"]],
            "given several",
        ),
    ],
)
def test_chance_that_nothing_is_compared_with_is_refused_before_training(
    build, options, metrics, message
):
    lineage = ban_tf.Lineage(build, generations=0, chance=0.4)
    labels = Y if build is network else [Y, Y]
    with pytest.raises(ban_tf.errors.InputError, match="`chance`.*" + message):
        compile = {"optimizer": "sgd", "metrics": metrics}
        lineage.fit(X, labels, compile=compile, verbose=0, **options)
    assert lineage.generations == []


@pytest.mark.nightly
def test_metrics_of_the_network_itself_are_refused_once_they_are_measured():
    lineage = ban_tf.Lineage(own_metrics, generations=0, chance=0.4)
    with pytest.raises(ban_tf.errors.InputError, match="validation measured val_"):
        compile = {"optimizer": "sgd", "loss": sparse(), "run_eagerly": True}
        lineage.fit(X, Y, compile=compile, verbose=0, **VALIDATION)


def test_the_plain_accuracy_comes_first():
    row = {"val_loss": 1.0, "accuracy": 0.9, "val_accuracy": 0.4, "val_weighted_accuracy": 0.8}
    assert collapse.accuracy_of(row) == "val_accuracy"
    assert collapse.accuracy_of({"accuracy": 0.9, "val_b_binary_accuracy": 0.4}) == (
        "val_b_binary_accuracy"
    )
    assert collapse.accuracy_of({"val_a_accuracy": 0.9, "val_b_accuracy": 0.4}) is None
