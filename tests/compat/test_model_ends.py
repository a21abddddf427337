"""What a model applies last, seen in its Keras graph or in what it is traced to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf.compat import model_ends, outputs
from ban_tf.compat.traced_ends import traced_ends

layers, ops = keras.layers, keras.ops

# By name: what follows a layer of outputs [batch, 3, 4], and what the end then is.
ENDS = {
    "nothing": (lambda x: x, "linear"),
    "softmax": (ops.softmax, "softmax"),
    "sigmoid": (ops.sigmoid, "sigmoid"),
    "log-softmax": (ops.log_softmax, "linear"),
    "log of softmax": (lambda x: ops.log(ops.softmax(x)), "linear"),
    "another axis": (lambda x: ops.softmax(x, axis=1), "other"),
    "softmax, leading axes merged": (
        lambda x: ops.reshape(ops.softmax(x), (-1, 1, 3, 4)),
        "softmax",
    ),
    "softmax, last axes merged": (lambda x: ops.reshape(ops.softmax(x), (-1, 12)), "other"),
    "softmax, last axes merged and split again": (
        lambda x: ops.reshape(ops.reshape(ops.softmax(x), (-1, 12)), (-1, 3, 4)),
        "softmax",
    ),
    "softmax, last axes merged and split elsewhere": (
        lambda x: ops.reshape(ops.reshape(ops.softmax(x), (-1, 12)), (-1, 4, 3)),
        "other",
    ),
    "sigmoid, last axes merged": (lambda x: ops.reshape(ops.sigmoid(x), (-1, 12)), "sigmoid"),
    "logits, last axes merged": (lambda x: ops.reshape(x, (-1, 12)), "linear"),
    "softmax, transposed": (lambda x: ops.transpose(ops.softmax(x), (0, 2, 1)), "other"),
    "softmax, another precision": (lambda x: ops.cast(ops.softmax(x), "float16"), "softmax"),
    "softmax, an axis added": (lambda x: ops.expand_dims(ops.softmax(x), 1), "softmax"),
}
# Of these the Keras graph does not tell.
TRACED = {
    "log of clipped softmax": (lambda x: ops.log(ops.maximum(ops.softmax(x), 1e-9)), "linear"),
    "log of softmax and a number": (lambda x: ops.log(ops.softmax(x) + 1e-9), "linear"),
    "log of anything": (lambda x: ops.log(ops.square(x) + 1.0), None),
    "log of sigmoid": (lambda x: ops.log(ops.sigmoid(x)), None),
    "divided logits": (lambda x: x / 2.5, "linear"),
    "masked logits": (lambda x: ops.where(x > 9, -1e9, x), "linear"),
    "the last step": (lambda x: x[:, -1], "linear"),
    "one step of softmax": (lambda x: ops.softmax(x)[:, 0], "softmax"),
    "some classes of softmax": (lambda x: ops.softmax(x)[..., :2], "other"),
    "normalized by hand": (
        lambda x: (e := ops.exp(x)) / ops.sum(e, axis=-1, keepdims=True),
        "softmax",
    ),
    "a complement": (lambda x: 1.0 - ops.sigmoid(x), None),
    "a mean of two": (lambda x: (ops.softmax(x) + ops.softmax(2 * x)) / 2, None),
    "an exponential": (ops.exp, None),
}
X = np.zeros((2, 3, 5), "float32")


class Subclass(keras.Model):
    def __init__(self, last):
        super().__init__()
        self.dense = layers.Dense(4)
        self.last = last

    def call(self, inputs):
        return self.last(self.dense(inputs))


class Compiled(Subclass):
    """Whose call is a TensorFlow function of its own, which the outer graph only names."""

    @tf.function
    def call(self, inputs):
        return super().call(inputs)


@pytest.mark.parametrize("name", ENDS)
def test_the_keras_graph_shows_the_end(name):
    last, expected = ENDS[name]
    inputs = keras.Input((3, 5))
    model = keras.Model(inputs, last(layers.Dense(4)(inputs)))
    assert list(outputs.visible_ends(model).values()) == [expected]
    again = keras.Input((3, 5))
    assert list(outputs.visible_ends(keras.Model(again, model(again))).values()) == [expected]


@pytest.mark.first_cases(len(ENDS) + len(TRACED) + 1)
@pytest.mark.parametrize("name", [*ENDS, *TRACED])
@pytest.mark.parametrize("form", [Subclass, Compiled])
def test_the_traced_computation_shows_the_end(name, form):
    last, expected = {**ENDS, **TRACED}[name]
    model = form(last)
    found = []

    @tf.function
    def step(x):
        found.extend(traced_ends(model, x, [model(x, training=True)]))
        return x

    output = model(X)
    before = [np.array(variable) for variable in model.variables]
    step(tf.constant(X))
    assert found == [expected]
    assert traced_ends(model, X, [output]) == [expected]  # where there is no graph
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_a_model_that_cannot_be_traced_shows_nothing():
    model = Subclass(lambda x: ops.convert_to_tensor(np.asarray(x)))
    assert traced_ends(model, X, [model(X)]) == [None]


KERAS_LAYERS = {
    "reshape": ([layers.Softmax(), layers.Reshape((12, 1, 4))], (3, 4, 4), "softmax"),
    "flat and back": (
        [layers.Softmax(), layers.Flatten(), layers.Reshape((12, 1, 4))],
        (3, 4, 4),
        "softmax",
    ),
    "cropping": ([layers.Softmax(), layers.Cropping2D(1)], (5, 5, 4), "softmax"),
    "padding": ([layers.Softmax(), layers.ZeroPadding2D(1)], (5, 5, 4), None),
    "nearest": ([layers.Softmax(), layers.UpSampling2D(2)], (2, 2, 4), "softmax"),
    "cubic": ([layers.Softmax(), layers.UpSampling2D(2, interpolation="bicubic")], (2, 2, 4), None),
    "mean": ([layers.Softmax(), layers.GlobalAveragePooling1D()], (5, 4), "softmax"),
    "permuted back": ([layers.Softmax(1), layers.Permute((2, 1))], (5, 4), "softmax"),
    "permuted away": ([layers.Softmax(), layers.Permute((2, 1))], (5, 4), "other"),
    "flat units": ([layers.Activation("sigmoid"), layers.Flatten()], (5, 1), "sigmoid"),
    "each step": ([layers.TimeDistributed(layers.Dense(3, "softmax"))], (5, 4), "softmax"),
    "noise": ([layers.Softmax(), layers.GaussianNoise(1.0)], (4,), "softmax"),
    "own function": ([layers.Dense(3, activation=lambda x: ops.softmax(x))], (4,), None),
    "normalized": ([layers.Softmax(), layers.BatchNormalization()], (4,), "linear"),
}


@pytest.mark.parametrize("name", KERAS_LAYERS)
def test_layers_that_move_numbers_are_looked_through(name):
    last, shape, expected = KERAS_LAYERS[name]
    model = keras.Sequential([keras.Input(shape), *last])
    assert list(outputs.visible_ends(model).values()) == [expected]


def test_outputs_of_a_nested_model_are_distinguished():
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, [layers.Dense(3, "softmax")(inputs), layers.Dense(2)(inputs)])
    first, second = inner(inputs)
    outer = keras.Model(
        inputs, {"a": second, "b": first, "c": layers.Concatenate()([first, first])}
    )
    assert outputs.visible_ends(outer) == {"a": "linear", "b": "softmax", "c": "other"}


@pytest.mark.parametrize(
    ("before", "after", "axis", "expected"),
    [
        ((None, 4, 4, 5), (None, 16, 5), -1, -1),
        ((None, 4, 5), (None, 20), -1, None),
        ((None, 5, 1), (None, 5), -1, -2),
        ((None, 2, 3), (None, 3, 2), -1, None),
        ((None, None, 5), (None, 5), -1, -1),
    ],
)
def test_where_an_axis_was_before_a_reshape(before, after, axis, expected):
    assert model_ends.axis_before_reshape(before, after, axis) == expected
