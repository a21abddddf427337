"""Labels go to the outputs that Keras sends them to, or are refused."""

import keras
import numpy as np
import pytest
from twins import CLASSES, data

import ban_tf
from ban_tf.distillation import targets

NAMES = ["a", "b"]
ONE, OTHER = np.zeros(3), np.ones(3)


def test_a_list_goes_by_order_and_a_dictionary_by_name():
    assert targets.by_output(None, NAMES) == {}
    for labels in ([ONE, OTHER], (ONE, OTHER), {"b": OTHER, "a": ONE}):
        found = targets.by_output(labels, NAMES)
        assert found["a"] is ONE and found["b"] is OTHER
    assert list(targets.by_output({"b": OTHER}, NAMES)) == ["b"]
    # The only output has one label array, in whatever it is wrapped.
    for labels in (ONE, [ONE], {"any": ONE}):
        assert targets.by_output(labels, ["a"])["a"] is ONE


@pytest.mark.parametrize("labels", [ONE, [ONE], (ONE,)])
def test_one_array_goes_to_the_one_output_that_has_a_loss(labels):
    found = targets.by_output(labels, NAMES, {"a": None, "b": "mse"})
    assert list(found) == ["b"] and found["b"] is ONE
    assert list(targets.by_output(labels, NAMES, ["mse", None])) == ["a"]


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        (ONE, None),
        (ONE, "mse"),
        ([ONE], ["mse", "mse"]),
        ([ONE] * 3, None),
        ({"c": ONE}, None),
        ({"a": ONE, "c": ONE}, None),
        ({}, None),
    ],
)
def test_labels_that_belong_nowhere_are_refused(labels, loss):
    with pytest.raises(ValueError, match=r"`y` has labels for .* a, b"):
        targets.by_output(labels, NAMES, loss)


def test_nested_labels_go_by_path():
    names = ["p/0", "p/1", "q"]
    found = targets.by_output({"p": (ONE, OTHER), "q": ONE}, names)
    assert found["p/1"] is OTHER
    sparse = keras.losses.SparseCategoricalCrossentropy(ignore_class=7)
    void = targets.void_of({"p": ("mse", sparse), "q": None}, names)
    assert void == {"p/0": -1, "p/1": 7, "q": -1}


def two_heads(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    return keras.Model(inputs, [keras.layers.Dense(CLASSES, name=name)(inputs) for name in NAMES])


@pytest.mark.parametrize("objective", ["kd+labels", "cwtm", "dkd"])
def test_one_array_for_several_outputs_is_refused_before_training(objective):
    x, y = data()
    model = ban_tf.BornAgainModel(two_heads(0), two_heads(1), objective)
    model.compile("sgd")
    for labels in (y, [y], {"a": y, "c": y}):
        with pytest.raises(ValueError, match="`y` has labels for"):
            model.fit(x, labels, verbose=0)


def test_an_objective_reads_the_labels_of_the_output_that_has_a_loss():
    x, y = data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    results = []
    for objective, labels in (({"b": "cwtm"}, y), ({"b": "cwtm"}, [np.zeros_like(y), y])):
        model = ban_tf.BornAgainModel(two_heads(0), two_heads(1), objective)
        losses = [None, loss] if labels is y else [loss, loss]
        model.compile("sgd", losses, run_eagerly=True)
        results.append(model.evaluate(x, labels, verbose=0, return_dict=True)["teacher_loss"])
    assert results[0] == results[1]
