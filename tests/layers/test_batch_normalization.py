"""The fused layer against the stock layer and against float64 NumPy."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm

from ban_tf.layers import BatchNormalization

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# In half precision on CPUs, four channels are filled up to sixteen; sixteen and 32 are not.
SHAPES = ((6, 5, 7, 4), (6, 9, 4), (3, 2, 3, 5, 4), (6, 5, 7, 16), (6, 9, 32))
# One rounding of a half-precision number near 4, the size that outputs and gradients reach.
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 2**-6, "mixed_float16": 2**-9}


def layer_pair(shape, seed=0, **options):
    """A stock and a fused layer with equal random weights."""
    draw = np.random.default_rng(seed)
    pair = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(**options)
        layer.build(shape)
        pair.append(layer)
    weights = [draw.uniform(0.5, 1.5, weight.shape) for weight in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def inputs_like(shape, seed=1):
    draw = np.random.default_rng(seed)
    return draw.normal(1.5, 2.0, shape).astype("float32"), draw.normal(size=shape).astype("float32")


def outputs_and_gradients(layer, x, upstream, training):
    """One pass: outputs, the gradients by inputs, gamma and beta, and the weights afterwards."""
    x = tf.cast(x, layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(y * tf.cast(upstream, y.dtype))
    gradients = tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])
    gradients = [np.asarray(tf.cast(gradient, "float64")) for gradient in gradients]
    return y, gradients, [np.asarray(weight) for weight in layer.get_weights()]


def is_fused(layer, x, **call):
    graph = tf.function(lambda x: layer(x, **call)).get_concrete_function(tf.convert_to_tensor(x))
    return "FusedBatchNormV3" in {operation.type for operation in graph.graph.get_operations()}


def reference(x, gamma, beta, upstream, epsilon):
    """Outputs and gradients of batch normalization in training, in float64 NumPy."""
    axes = tuple(range(x.ndim - 1))
    deviation = np.sqrt(x.var(axes) + epsilon)
    normalized = (x - x.mean(axes)) / deviation
    scaled = upstream * gamma
    dx = scaled - scaled.mean(axes) - normalized * (scaled * normalized).mean(axes)
    y = normalized * gamma + beta
    return y, dx / deviation, (upstream * normalized).sum(axes), upstream.sum(axes)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", POLICIES)
def test_equals_the_stock_layer(policy, shape, training):
    stock, fused = layer_pair(shape, dtype=policy, momentum=0.8)
    x, upstream = inputs_like(shape)
    assert is_fused(fused, tf.cast(x, fused.compute_dtype), training=training)
    results = [outputs_and_gradients(layer, x, upstream, training) for layer in (stock, fused)]
    (y_stock, gradients_stock, weights_stock), (y_fused, gradients_fused, weights_fused) = results
    assert y_fused.dtype == y_stock.dtype
    assert y_fused.shape == y_stock.shape
    tolerance = TOLERANCE[policy]
    np.testing.assert_allclose(
        np.float64(y_fused), np.float64(y_stock), rtol=tolerance, atol=tolerance
    )
    for got, expected in zip(gradients_fused, gradients_stock, strict=True):
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(got / scale, expected / scale, rtol=tolerance, atol=tolerance)
    for got, expected in zip(weights_fused, weights_stock, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
def test_training_gradients_are_as_near_to_float64_as_the_stock_layers(policy):
    shape = (16, 8, 8, 4)
    stock, fused = layer_pair(shape, dtype=policy)
    x, upstream = inputs_like(shape)
    x = np.asarray(tf.cast(tf.cast(x, fused.compute_dtype), "float64"))
    upstream = np.asarray(tf.cast(tf.cast(upstream, fused.compute_dtype), "float64"))
    gamma, beta = (np.float64(weight) for weight in fused.get_weights()[:2])
    expected = reference(x, gamma, beta, upstream, fused.epsilon)
    for layer_errors in zip(
        *(errors(layer, x, upstream, expected) for layer in (stock, fused)), strict=True
    ):
        stock_error, fused_error = layer_errors
        assert fused_error <= 1.1 * stock_error + 1e-6


def errors(layer, x, upstream, expected):
    y, gradients, _ = outputs_and_gradients(layer, x, upstream, True)
    for got, want in zip([np.asarray(tf.cast(y, "float64")), *gradients], expected, strict=True):
        yield np.sqrt(np.mean((got - want) ** 2)) / np.abs(want).max()


@pytest.mark.parametrize("options", [{"center": False}, {"scale": False}, {"axis": 3}])
@pytest.mark.parametrize("training", [True, False])
def test_options_of_the_stock_layer(options, training):
    shape = (4, 3, 3, 5)
    stock, fused = layer_pair(shape, **options)
    x, upstream = inputs_like(shape)
    assert is_fused(fused, x, training=training)
    for got, expected in zip(
        tf.nest.flatten(outputs_and_gradients(fused, x, upstream, training)),
        tf.nest.flatten(outputs_and_gradients(stock, x, upstream, training)),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


FALLBACKS = {
    "axis": ((4, 5, 3, 3), {"axis": 1}, {}),
    "rank 2": ((8, 5), {}, {}),
    "synchronized": ((4, 3, 3, 5), {"synchronized": True}, {}),
    "renorm": ((4, 3, 3, 5), {"renorm": True}, {}),
    "epsilon": ((4, 3, 3, 5), {"epsilon": 1e-6}, {}),
    "mask": ((4, 3, 5), {}, {"mask": np.array([[1, 1, 0]] * 4, bool)}),
    "float64": ((4, 3, 3, 5), {"dtype": "float64"}, {}),
}


@pytest.mark.parametrize("case", FALLBACKS)
def test_falls_back_to_the_stock_computation(case):
    shape, options, call = FALLBACKS[case]
    if case == "renorm" and not hasattr(keras.layers.BatchNormalization(), "renorm"):
        pytest.skip("this Keras has no renormalization")
    stock, fused = layer_pair(shape, **options)
    x = tf.cast(inputs_like(shape)[0], fused.compute_dtype)
    assert not is_fused(fused, x, training=True, **call)
    np.testing.assert_array_equal(fused(x, training=True, **call), stock(x, training=True, **call))
    for got, expected in zip(fused.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_frozen_layer_runs_in_inference_mode():
    stock, fused = layer_pair((4, 3, 3, 5))
    stock.trainable = fused.trainable = False
    x, _ = inputs_like((4, 3, 3, 5))
    before = fused.get_weights()
    np.testing.assert_allclose(
        fused(x, training=True), stock(x, training=True), rtol=1e-5, atol=1e-5
    )
    for got, expected in zip(fused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 1, 3)])
def test_moving_variance_of_one_and_two_values(shape):
    stock, fused = layer_pair(shape)
    x, _ = inputs_like(shape)
    for layer in (stock, fused):
        layer(x, training=True)
    for got, expected in zip(fused.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 3, 5), (0, 3, 5)])
def test_empty_batch_in_inference(shape):
    _, fused = layer_pair((4, *shape[1:]))
    assert fused(tf.zeros(shape), training=False).shape == shape


def test_symbolic_call_and_unknown_sizes():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, BatchNormalization()(inputs))
    assert model.output_shape == (None, None, None, 3)
    x, _ = inputs_like((2, 4, 5, 3))
    assert model.predict(x, verbose=0).shape == x.shape
    spec = BatchNormalization().compute_output_spec(keras.KerasTensor((None, 4, 4, 3)))
    assert spec.shape == (None, 4, 4, 3)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_functions_update_the_moving_statistics(jit_compile):
    shape = (8, 4, 4, 3)
    stock, fused = layer_pair(shape)
    x, upstream = inputs_like(shape)

    def step(layer):
        @tf.function(jit_compile=jit_compile)
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(y * upstream)
            return y, tape.gradient(loss, x)

        return [*run(tf.constant(x)), *layer.get_weights()]

    for got, expected in zip(step(fused), step(stock), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_second_derivatives():
    shape = (4, 3, 3, 2)
    x, upstream = inputs_like(shape)

    def gradient_of_squared_gradient(layer):
        variable = tf.constant(x)
        with tf.GradientTape() as outer:
            outer.watch(variable)
            with tf.GradientTape() as inner:
                inner.watch(variable)
                loss = tf.reduce_sum(layer(variable, training=True) ** 2 * upstream)
            squared = tf.reduce_sum(inner.gradient(loss, variable) ** 2)
        return outer.gradient(squared, variable)

    stock, fused = layer_pair(shape)
    np.testing.assert_allclose(
        gradient_of_squared_gradient(fused),
        gradient_of_squared_gradient(stock),
        rtol=1e-4,
        atol=1e-4,
    )


REPLICAS = """
import keras, numpy as np, tensorflow as tf
from ban_tf.layers import BatchNormalization
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).normal(2, 3, (8, 4, 4, 3)).astype("float32")
weights = []
for kind in (keras.layers.BatchNormalization, BatchNormalization):
    keras.utils.set_random_seed(1)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), kind()])
        model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(x, x[:, :2, :2, :2], batch_size=4, epochs=2, shuffle=False, verbose=0)
    weights.append(model.get_weights())
for stock, fused in zip(*weights):
    np.testing.assert_allclose(fused, stock, rtol=1e-5, atol=1e-5)
"""

PLAIN_KERAS = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert not any(name.startswith("ban_tf") for name in sys.modules)
assert type(model.layers[-1]) is keras.layers.BatchNormalization, type(model.layers[-1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    finished = warm.run(command)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.nightly
def test_two_replicas_train_as_the_stock_layer_does():
    run_python(REPLICAS)


@pytest.mark.nightly
def test_plain_keras_loads_what_was_saved(tmp_path):
    x, _ = inputs_like((4, 5, 5, 3))
    model = keras.Sequential([keras.Input((5, 5, 3)), keras.layers.Conv2D(2, 3)])
    model.add(BatchNormalization(momentum=0.5))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :3, :3, :2], verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", x)
    run_python(PLAIN_KERAS, *(tmp_path / name for name in ("model.keras", "inputs.npy", "out.npy")))
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5
    )


def test_clone_stays_fused_and_the_configuration_is_the_stock_layers():
    layer = BatchNormalization(momentum=0.7, gamma_regularizer="l2", name="normalization")
    stock = keras.layers.BatchNormalization.from_config(layer.get_config())
    assert stock.get_config() == layer.get_config()
    clone = keras.models.clone_model(keras.Sequential([keras.Input((4, 4, 3)), layer]))
    assert type(clone.layers[-1]) is BatchNormalization
    assert clone.layers[-1].momentum == 0.7
