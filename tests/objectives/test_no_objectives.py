"""What is given as an objective and is none: a sentence says where it belongs."""

import keras
import pytest

import ban_tf
from ban_tf import objectives

CASES = {
    "loss": (keras.losses.MeanSquaredError(), "compile\\(loss="),
    "loss class": (keras.losses.CategoricalCrossentropy, "compile\\(loss="),
    "our loss": (objectives.LabelCrossEntropy(), "compile\\(loss="),
    "loss function": (keras.losses.categorical_crossentropy, "must take labels, teacher logits"),
    "metric": (keras.metrics.Accuracy(), "compile\\(metrics="),
    "metric class": (keras.metrics.AUC, "compile\\(metrics="),
    "layer": (keras.layers.Dense(3), "a layer belongs in a model"),
    "model": (keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), "`teacher`"),
    "Keras's distillation": (
        keras.distillation.LogitsDistillation(),
        "`distillation_losses`",
    ),
    "our distillation loss": (objectives.as_distillation_loss("kd"), "`distillation_losses`"),
    "function of two": (lambda labels, logits: logits, "must take labels, teacher logits"),
    "objective class": (objectives.DarkKnowledge, "must be a name"),
}


def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_objective_is_refused_with_its_place(case):
    given, message = CASES[case]
    for refuse in (
        lambda: objectives.get(given),
        lambda: ban_tf.BornAgainModel(network(), network(), given),
        lambda: ban_tf.BornAgainModel(network(), network(), {"output_0": given}),
        lambda: ban_tf.Lineage(network, objective=given),
    ):
        with pytest.raises(ban_tf.errors.InputError, match="`objective`.*" + message):
            refuse()
