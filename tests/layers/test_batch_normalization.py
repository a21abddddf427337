from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf.layers import BatchNormalization

# Half precision: two units in the last place of values up to 4.
TOLERANCES = {"float32": 1e-5, "mixed_bfloat16": 0.04, "mixed_float16": 0.005}


def images(*shape):
    return np.random.default_rng(0).normal(1.0, 2.0, shape).astype("float32")


def pair(shape, **options):
    """The fused and the stock layer with the same, not trivial, weights."""
    layers = [BatchNormalization(**options), keras.layers.BatchNormalization(**options)]
    for layer in layers:
        layer.build(shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return layers


def run(layer, inputs, training, **options):
    """Outputs, gradients for the inputs and weights, and weights after the call, as float32."""
    inputs = tf.cast(inputs, layer.compute_dtype)
    direction = tf.constant(np.random.default_rng(2).normal(size=inputs.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training, **options)
        loss = tf.reduce_mean(tf.cast(outputs, tf.float32) * direction)
    variables = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, [inputs, *variables])
    return outputs, gradients, layer.get_weights()


def assert_equal(fused, stock, tolerance):
    assert fused[0].dtype == stock[0].dtype
    for ours, theirs in zip(tf.nest.flatten(fused), tf.nest.flatten(stock), strict=True):
        ours, theirs = (tf.cast(x, tf.float32).numpy() for x in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def uses_fused_operation(layer, inputs, **options):
    graph = tf.function(lambda x: layer(x, **options)).get_concrete_function(inputs).graph
    return any(operation.type == "FusedBatchNormV3" for operation in graph.get_operations())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("center, scale", [(True, True), (False, True), (True, False)])
def test_fused_layer_equals_stock(dtype, training, center, scale):
    inputs = images(4, 5, 3, 6)
    fused, stock = pair(inputs.shape, dtype=dtype, center=center, scale=scale, momentum=0.9)
    assert uses_fused_operation(fused, tf.cast(inputs, fused.compute_dtype), training=training)
    assert_equal(run(fused, inputs, training), run(stock, inputs, training), TOLERANCES[dtype])
    for ours, theirs in zip(fused.get_weights(), stock.get_weights(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 1, 1, 3), (8, 4, 4, 3)])
def test_moving_variance_is_the_biased_one(shape):
    inputs = images(*shape)
    layer = BatchNormalization(momentum=0.0)
    layer(inputs, training=True)
    expected = inputs.astype("float64").var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_frozen_layer_uses_and_keeps_moving_statistics():
    fused, stock = pair((4, 5, 3, 6), trainable=False)
    before = fused.get_weights()
    inputs = images(4, 5, 3, 6)
    np.testing.assert_allclose(
        fused(inputs, training=True), stock(inputs, training=True), rtol=1e-5, atol=1e-5
    )
    for ours, theirs in zip(fused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "shape, options, call",
    [
        ((4, 6), {}, {}),
        ((4, 5, 6), {}, {}),
        ((4, 5, 3, 6), {"axis": 1}, {}),
        ((4, 5, 3, 6), {"epsilon": 1e-6}, {}),
        ((4, 5, 3, 6), {"renorm": True}, {}),
        ((4, 5, 3, 6), {}, {"mask": np.arange(60).reshape(4, 5, 3) % 3 > 0}),
    ],
    ids=["rank 2", "rank 3", "axis", "epsilon", "renorm", "mask"],
)
def test_other_cases_are_left_to_keras(shape, options, call):
    inputs = images(*shape)
    assert not uses_fused_operation(pair(shape, **options)[0], inputs, training=True, **call)
    fused, stock = pair(shape, **options)
    assert_equal(run(fused, inputs, True, **call), run(stock, inputs, True, **call), 1e-5)


def test_symbolic_call_and_clone_keep_the_fused_class():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, BatchNormalization()(inputs))
    assert model.output_shape == (None, None, None, 3)
    assert type(keras.models.clone_model(model).layers[-1]) is BatchNormalization


def test_saved_model_loads_in_plain_keras(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), BatchNormalization(name="normalization")])
    inputs = images(2, 4, 4, 3)
    model.set_weights(list(np.float32([[1, 2, 3], [4, 5, 6], [0, 1, 0], [2, 3, 4]])))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "outputs.npy", model(inputs))
    program = """
import sys, keras, numpy as np
model = keras.models.load_model("model.keras")
assert type(model.layers[0]) is keras.layers.BatchNormalization
np.testing.assert_allclose(model(np.load("inputs.npy")), np.load("outputs.npy"), atol=1e-5)
assert not any(name.startswith("ban_tf") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
