"""What compiled losses say of their outputs."""

import functools

import keras
import pytest

from ban_tf import objectives
from ban_tf.compat import loss_kinds

losses = keras.losses


class Weighted(losses.BinaryCrossentropy):
    def call(self, y_true, y_pred):
        return 2.0 * super().call(y_true, y_pred)


class Own(losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred


@pytest.mark.parametrize(
    ("loss", "kind", "from_logits"),
    [
        ("mse", "values", None),
        (losses.Huber(), "values", None),
        (losses.Poisson, "values", None),
        ("bce", "binary", False),
        (Weighted(from_logits=True), "binary", True),
        (losses.BinaryFocalCrossentropy(), "binary", False),
        (functools.partial(losses.binary_crossentropy, from_logits=True), "binary", True),
        ("sparse_categorical_crossentropy", "categorical", False),
        (losses.CategoricalFocalCrossentropy(from_logits=True), "categorical", True),
        (losses.serialize(losses.KLDivergence()), "categorical", False),
        (objectives.LabelCrossEntropy(), "categorical", True),
        (losses.Dice(), None, None),
        (Own(), None, None),
        (lambda labels, predictions: predictions, None, None),
    ],
)
def test_a_loss_says_what_it_is_for(loss, kind, from_logits):
    found = loss_kinds.meaning(loss, units=3)
    assert (found.kind, found.from_logits) == (kind, from_logits)


def test_crossentropy_alone_is_what_keras_takes_it_for():
    assert loss_kinds.meaning("crossentropy", units=1).kind == "binary"
    assert loss_kinds.meaning("crossentropy", units=4).kind == "categorical"


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", {"a": ["mse"], "b": ["mse"]}),
        (["mse", None], {"a": ["mse"], "b": []}),
        ({"b": ["mse", "mae"]}, {"a": [], "b": ["mse", "mae"]}),
        (None, {"a": [], "b": []}),
        (["mse", {"b": "mae"}], {"a": ["mse"], "b": ["mse", "mae"]}),
    ],
)
def test_losses_are_dealt_out_to_outputs(loss, expected):
    assert loss_kinds.by_output(loss, ["a", "b"]) == expected


def test_nested_losses_may_be_for_a_whole_branch_and_for_parts_of_it():
    loss = {"p": ["mse", {"x": "mae"}], "q": "bce"}
    expected = {"p/x": ["mse", "mae"], "p/y": ["mse"], "q": ["bce"]}
    assert loss_kinds.by_output(loss, list(expected)) == expected
