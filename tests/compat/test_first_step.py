"""The first step is traced once: no variable is created in it."""

import keras
import numpy as np
import pytest

import ban_tf

X = np.random.default_rng(0).normal(size=(24, 5)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def build():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])


def traces(model, **options):
    """Returns how often `fit` and `evaluate` ran a metric's Python code."""
    seen = []

    def metric(y_true, y_pred):
        seen.append(1)
        return keras.ops.mean(y_pred, axis=-1)

    model.compile(keras.optimizers.Adam(), metrics=["accuracy", metric], **options)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    in_fit = len(seen)
    model.evaluate(X, Y, batch_size=8, verbose=0)
    return in_fit, len(seen) - in_fit


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("teacher", [True, False])
def test_a_step_is_traced_once(teacher):
    model = ban_tf.BornAgainModel(build(), build() if teacher else None)
    assert traces(model) == (1, 1)


def test_evaluation_alone_builds_no_optimizer():
    model = ban_tf.BornAgainModel(build())
    model.compile(keras.optimizers.Adam(), metrics=["accuracy"])
    model.evaluate(X, Y, verbose=0)
    assert not model.optimizer.built


@pytest.mark.nightly
def test_what_a_student_builds_in_its_first_step_is_trained():
    class Lazy(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = ban_tf.BornAgainModel(Lazy(), objective="labels")
    assert traces(model, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))[0]
    assert len(model.optimizer.variables) > 2  # its moments, too


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (Y, keras.metrics.SparseCategoricalAccuracy),
        (np.eye(2, dtype="float32")[Y], keras.metrics.CategoricalAccuracy),
    ],
)
def test_accuracy_is_of_the_kind_that_keras_chooses(labels, kind):
    model = ban_tf.BornAgainModel(build())
    model.compile("sgd", metrics=["accuracy"], run_eagerly=True)
    model.fit(X, labels, verbose=0)
    found = [type(metric) for metric in model.metrics[-1].metrics]
    assert kind in found or kind in map(type, model.metrics)
