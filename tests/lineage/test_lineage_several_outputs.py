"""Lineages of networks with a class head that is distilled and a box head that is not."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax

import ban_tf
from ban_tf.distillation.ensemble import ensemble
from ban_tf.errors import InputError

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
CLASSES, BOXES = X[:, :3].argmax(axis=-1), X[:, 2:]
LOSSES = {"class": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "box": "huber"}


def functional():
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, activation="tanh")(inputs)
    return keras.Model(
        inputs,
        {
            "class": layers.Dense(3, name="class")(hidden),
            "box": layers.Dense(4, name="box")(hidden),
        },
    )


@keras.saving.register_keras_serializable("several_outputs")
class Subclassed(keras.Model):
    """The same as a subclass."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = layers.Dense(8, activation="tanh")
        self.kind, self.box = layers.Dense(3), layers.Dense(4)

    def call(self, inputs):
        hidden = self.hidden(inputs)
        return {"class": self.kind(hidden), "box": self.box(hidden)}


class Unsavable(Subclassed):
    """One of which Keras does not know how to make another one."""

    def __init__(self, note):
        super().__init__()
        self.note = note


def subclassed():
    model = Subclassed()
    model(X[:1])
    return model


def unsavable():
    model = Unsavable("a note")
    model(X[:1])
    return model


def _fit(build, directory=None, **changes):
    given = {"generations": 2, "objective": {"class": "kd"}, "directory": directory, **changes}
    lineage = ban_tf.Lineage(build, **given)
    return lineage.fit(
        X,
        {"class": CLASSES, "box": BOXES},
        epochs=1,
        batch_size=16,
        verbose=0,
        compile={
            **{"optimizer": lambda: keras.optimizers.SGD(0.1), "loss": LOSSES},
            "run_eagerly": True,
        },
    )


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("build", [functional, subclassed])
def test_the_ensemble_averages_each_output_by_its_kind_and_is_one_file(build, tmp_path):
    lineage = _fit(build, tmp_path / "run", teacher="ensemble")
    assert {"teacher_loss", "box_loss"} <= set(lineage.generations[2].history[0])
    members = [keras.tree.map_structure(np.asarray, lineage.model(number)(X)) for number in (1, 2)]
    lineage.ensemble().save(tmp_path / "ensemble.keras")
    joint = keras.models.load_model(tmp_path / "ensemble.keras")(X)
    np.testing.assert_allclose(
        joint["class"], np.mean([softmax(m["class"], axis=-1) for m in members], axis=0), atol=1e-5
    )
    np.testing.assert_allclose(
        joint["box"], np.mean([m["box"] for m in members], axis=0), atol=1e-5
    )
    saved = keras.models.load_model(tmp_path / "run/generation-2/model.keras")
    np.testing.assert_allclose(saved(X)["box"], members[1]["box"], atol=1e-6)


@pytest.mark.nightly
def test_the_box_learns_from_labels_alone(tmp_path):
    """Its head gets the gradient that it has in plain Keras, whatever the teacher's boxes are."""
    given = []
    for boxes in (0.0, 100.0):
        teacher = functional()
        teacher.set_weights(
            [
                np.full_like(weights, boxes)
                if weights.shape == (4,)
                else np.ones_like(weights) / 10
                for weights in teacher.get_weights()
            ]
        )
        lineage = _fit(functional, first_model=teacher, generations=1)
        given.append(lineage.generations[1].weights)
    for ours, theirs in zip(*given, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_subclass_that_cannot_be_saved_or_has_no_weights_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match=r"`build` returns .* which Keras cannot save"):
        ban_tf.Lineage(unsavable, 1, {"class": "kd"}, directory=tmp_path / "run")

    def unbuilt():
        model = Subclassed()
        model.built = True  # as after `keras.Model.build`, which builds no layer
        return model

    with pytest.raises(InputError, match="must return a Keras model whose weights exist"):
        ban_tf.Lineage(unbuilt, 1, {"class": "kd"})
    with pytest.raises(InputError, match="others that were called"):
        ensemble([Subclassed()])
