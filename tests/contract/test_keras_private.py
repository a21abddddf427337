"""The private names of Keras that we rely on exist, and do what we rely on."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.losses.loss import Loss

from ban_tf.compat import keras_private


def _functional():
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    return keras.Model(inputs, {"a": keras.layers.Dense(2, name="a")(hidden), "b": hidden})


def test_the_origin_of_a_tensor_is_its_layer_and_what_it_was_given():
    model = _functional()
    operation, inputs = keras_private.origin(model.output["a"])
    assert operation is model.get_layer("a")
    assert inputs == [model.get_layer("hidden").output]
    assert keras_private.origin(inputs[0]).inputs == [model.input]


def test_calls_are_those_of_the_graph():
    model = _functional()
    hidden = model.get_layer("hidden")
    hidden(keras.Input((3,)))  # outside the graph
    assert len(keras_private.calls(hidden)) == 2
    names = sorted(node.operation.name for node in keras_private.all_calls(model))
    assert names == ["a", "hidden", "x"]


def test_layers_are_found_at_any_depth():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="deep")])
    outer = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(2, name="top")])
    names = {layer.name for layer in keras_private.layers_in(outer)}
    assert {"deep", "top", inner.name} <= names
    assert outer.name not in names


def test_functional_models_are_told_from_others_and_keep_their_structure():
    model = _functional()
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert keras_private.is_functional(model)
    assert set(keras_private.output_structure(model)) == {"a", "b"}
    assert not keras_private.is_functional(sequential)
    assert keras_private.output_structure(sequential) is None
    assert keras_private.is_functional(keras_private.functional_of(sequential))
    assert keras_private.functional_of(model) is model


def test_the_learning_rate_is_the_schedule_or_the_variable():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_private.learning_rate(keras.optimizers.SGD(schedule)) is schedule
    variable = keras_private.learning_rate(keras.optimizers.SGD(0.25))
    assert float(ops.convert_to_numpy(variable)) == 0.25


@pytest.mark.parametrize(
    ("frequency", "expected"), [(1, [True] * 4), (2, [False, True] * 2), ([1, 4], [1, 0, 0, 1])]
)
def test_validation_follows_its_frequency(frequency, expected):
    found = [keras_private.validates(_functional(), epoch, frequency) for epoch in range(4)]
    assert [bool(each) for each in found] == [bool(each) for each in expected]


def test_validation_is_split_off_at_the_end():
    x, y = np.arange(10), np.arange(10) * 2
    (train_x, train_y), (test_x, test_y) = keras_private.split_off_validation((x, y), 0.2)
    np.testing.assert_array_equal(train_x, x[:8])
    np.testing.assert_array_equal(test_x, x[8:])
    np.testing.assert_array_equal(train_y, y[:8])
    np.testing.assert_array_equal(test_y, y[8:])


def test_an_adapter_counts_batches():
    adapter = keras_private.data_adapter(np.zeros((10, 3)), batch_size=4)
    assert isinstance(adapter, keras_private.DataAdapter)
    assert adapter.num_batches == 3


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            keras.Model,
            (
                *("_symbolic_build", "_should_eval", "_get_regularization_losses"),
                *("_flatten_layers", "_aggregate_additional_loss"),
            ),
        ),
        (keras.layers.Layer, ("_flatten_layers",)),
        (Loss, ("call",)),
    ],
)
def test_methods_that_we_override_or_call_exist(owner, names):
    for name in names:
        assert callable(inspect.getattr_static(owner, name)), name


def test_compiled_losses_and_metrics_are_where_we_look_for_them():
    model = _functional()
    model.compile(loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    assert model._compile_loss is not None
    assert model._compile_metrics is not None
    assert model._loss_tracker.name == "loss"
    assert model._compile_loss.metrics == []  # until it is built
