"""The gradient by the kernel as a convolution, against TensorFlow's own and float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf.layers import Conv2D, convolution

# Height, width, kernel, strides, padding.
CASES = [
    ((8, 8), (3, 3), (1, 1), "SAME"),
    ((8, 7), (3, 3), (2, 2), "SAME"),
    ((7, 8), (3, 2), (2, 1), "SAME"),
    ((9, 8), (3, 3), (2, 2), "VALID"),
    ((6, 5), (5, 3), (1, 1), "VALID"),
    ((8, 8), (1, 1), (2, 2), "SAME"),
    ((2, 2), (5, 5), (1, 1), "SAME"),
]


def arrays(size, kernel, strides, padding, seed=0):
    """Images and output gradients of a convolution of 3 channels to 5, float64."""
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(4, *size, 3))
    outputs = tf.nn.conv2d(images, np.zeros((*kernel, 3, 5)), strides, padding)
    return images, draw.normal(size=outputs.shape)


def reference(images, upstream, kernel, strides, padding):
    """Image by image, position by position, in float64 NumPy."""
    result = np.zeros((*kernel, images.shape[-1], upstream.shape[-1]))
    _, rows, columns, _ = upstream.shape
    need = [
        max((count - 1) * stride + size - given, 0) if padding == "SAME" else 0
        for count, stride, size, given in zip(
            (rows, columns), strides, kernel, images.shape[1:3], strict=True
        )
    ]
    pads = [(0, 0), *((entry // 2, entry - entry // 2) for entry in need), (0, 0)]
    padded = np.pad(images, pads)
    for row in range(rows):
        for column in range(columns):
            down, right = row * strides[0], column * strides[1]
            seen = padded[:, down : down + kernel[0], right : right + kernel[1]]
            result += np.einsum("bhwc,bf->hwcf", seen, upstream[:, row, column])
    return result


@pytest.mark.parametrize("case", CASES)
def test_is_the_gradient_by_the_kernel(case):
    size, kernel, strides, padding = case
    images, upstream = arrays(size, kernel, strides, padding)
    got = convolution.kernel_gradient(
        tf.constant(images), tf.constant(upstream), kernel, strides, padding
    )
    np.testing.assert_allclose(got, reference(images, upstream, *case[1:]), rtol=1e-10, atol=1e-12)
    theirs = tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=[*kernel, 3, 5],
        out_backprop=upstream,
        strides=[1, *strides, 1],
        padding=padding,
    )
    np.testing.assert_allclose(got, theirs, rtol=1e-10, atol=1e-12)


def pair(monkeypatch, **options):
    """A stock layer and ours with equal weights, on hardware that ours is meant for."""
    monkeypatch.setattr(convolution, "hardware_suits", lambda: True)
    options = {"dtype": "mixed_bfloat16", "use_bias": False, **options}
    layers = [kind(32, 3, **options) for kind in (keras.layers.Conv2D, Conv2D)]
    for layer in layers:
        layer.build((None, 8, 8, 32))
    layers[1].set_weights(layers[0].get_weights())
    return layers


def outputs_and_gradients(layer, images, upstream):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
        loss = tf.reduce_sum(outputs * tf.cast(upstream, outputs.dtype))
    return outputs, *tape.gradient(loss, [images, *[v.value for v in layer.trainable_variables]])


@pytest.mark.parametrize("batch", [None, 6])
@pytest.mark.parametrize("options", [{"padding": "same"}, {"strides": 2}, {"activation": "relu"}])
def test_layer_equals_the_stock_layer(options, batch, monkeypatch):
    stock, ours = pair(monkeypatch, **options)
    draw = np.random.default_rng(0)
    images = tf.cast(draw.normal(size=(6, 8, 8, 32)), "bfloat16")
    upstream = tf.cast(draw.normal(size=stock(images).shape), "bfloat16")
    signature = tf.TensorSpec((batch, 8, 8, 32), "bfloat16")

    def run(layer):
        step = tf.function(
            lambda images: outputs_and_gradients(layer, images, upstream),
            input_signature=[signature],
        )
        kinds = {
            operation.type for operation in step.get_concrete_function().graph.get_operations()
        }
        return step(images), "Conv2DBackpropFilter" in kinds

    (expected, stock_kernel), (got, our_kernel) = run(stock), run(ours)
    assert (stock_kernel, our_kernel) == (True, False)
    np.testing.assert_array_equal(np.float64(got[0]), np.float64(expected[0]))
    assert [array.dtype for array in got] == [array.dtype for array in expected]
    assert_close_to(got[1], np.float64(expected[1]))
    # Not the stock gradient by the kernel, which some processors add up in bfloat16.
    passed = np.float64(upstream)
    if options.get("activation"):
        passed = np.where(np.float64(got[0]) > 0, passed, 0.0)
    strides, padding = stock.strides, stock.padding.upper()
    assert_close_to(got[2], reference(np.float64(images), passed, (3, 3), strides, padding))


def assert_close_to(found, expected):
    """Checks that two arrays differ at most by the rounding of the largest value to bfloat16."""
    np.testing.assert_allclose(
        np.float64(found), expected, rtol=0, atol=2**-8 * np.abs(expected).max()
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"dtype": "float32"}, (2, 8, 8, 32)),
        ({"groups": 2}, (2, 8, 8, 32)),
        ({"dilation_rate": 2}, (2, 8, 8, 32)),
        ({"kernel_size": 1}, (2, 8, 8, 32)),
        ({"filters": 12}, (2, 8, 8, 32)),
        ({}, (2, 8, 8, 16)),
        ({}, (2, 16, 16, 32)),
        ({}, (None, None, None, 32)),
    ],
)
def test_elsewhere_it_is_the_stock_layer(options, shape):
    layer = Conv2D(**{"filters": 32, "kernel_size": 3, "dtype": "mixed_bfloat16", **options})
    assert not layer._suits(keras.KerasTensor(shape, layer.compute_dtype))


@pytest.mark.parametrize(
    ("flags", "suits"),
    [
        ({"avx2"}, False),
        ({"avx512f", "avx512_bf16"}, True),
        ({"avx512f", "avx512_bf16", "amx_bf16"}, False),
        (set(), False),
    ],
)
def test_the_processor_decides(flags, suits):
    assert convolution.from_processor(flags) is suits


def test_loads_as_it_was_where_this_package_is(tmp_path, monkeypatch):
    _, ours = pair(monkeypatch)
    model = keras.Sequential([keras.Input((8, 8, 32)), ours])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is type(ours)
    np.testing.assert_array_equal(loaded.layers[0].get_weights()[0], ours.get_weights()[0])
