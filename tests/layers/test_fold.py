"""A folded network says what the network says, in inference."""

import keras
import numpy as np
import pytest
from keras import layers

from ban_tf import architectures
from ban_tf.layers import BatchNormalization, Conv2D, fold
from ban_tf.layers.fold import copy_folded


def randomise(model, seed=0):
    draw = np.random.default_rng(seed)
    model.set_weights(
        [draw.uniform(0.3, 1.0, weight.shape) - 0.2 for weight in model.get_weights()]
    )
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(draw.uniform(0.5, 2.0, layer.moving_variance.shape))
    return model


def normalizations(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model._flatten_layers())


def chain(*middle, shape=(8, 8, 4)):
    return keras.Sequential([keras.Input(shape), *middle, layers.ReLU()])


def nested():
    inner = chain(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    images = keras.Input((8, 8, 4))
    x = layers.BatchNormalization()(layers.Conv2D(4, 1)(inner(images)))
    return keras.Model(images, layers.Dense(2)(layers.Flatten()(x)))


def two_outputs():
    images = keras.Input((8, 8, 4))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(3, 3)(images)))
    return keras.Model(images, {"map": x, "mean": layers.GlobalAveragePooling2D()(x)})


def added():
    model = keras.Sequential([keras.Input((8, 8, 4))])
    for layer in (layers.Conv2D(3, 3), layers.BatchNormalization(), layers.ReLU()):
        model.add(layer)  # which calls all layers again
    return model


def with_operations():
    images = keras.Input((8, 8, 4))
    x = layers.BatchNormalization()(layers.Conv2D(4, 1)(images))
    x = keras.ops.relu(x + 0.1 * images)
    whole = keras.ops.cast(keras.ops.cast(10.0 * x, "int32"), "float32")
    return keras.Model(images, layers.Dense(2)(layers.GlobalAveragePooling2D()(x - whole)))


FOLDED = {
    "convolution": lambda: chain(layers.Conv2D(3, 3), layers.BatchNormalization()),
    "no bias": lambda: chain(Conv2D(3, 3, use_bias=False), BatchNormalization(scale=False)),
    "no center": lambda: chain(layers.Conv2D(3, 3), layers.BatchNormalization(center=False)),
    "groups": lambda: chain(layers.Conv2D(4, 3, groups=2), layers.BatchNormalization(axis=3)),
    "depthwise": lambda: chain(
        layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()
    ),
    "separable": lambda: chain(layers.SeparableConv2D(5, 3), layers.BatchNormalization()),
    "dense": lambda: chain(layers.Dense(3), layers.BatchNormalization(), shape=(4,)),
    "series": lambda: chain(layers.Conv1D(3, 3), layers.BatchNormalization(), shape=(8, 4)),
    "two outputs": two_outputs,
    "a layer at a time": added,
    "operations": with_operations,
}


@pytest.mark.parametrize("name", FOLDED)
def test_what_follows_a_linear_layer_is_folded_into_it(name):
    model = randomise(FOLDED[name]())
    folded = fold(model)
    assert normalizations(folded) == 0
    assert_equal(model, folded)


def assert_equal(model, folded, tolerance=1e-5):
    inputs = np.random.default_rng(1).normal(size=(5, *model.input_shape[1:])).astype("float32")
    expected = keras.tree.flatten(model(inputs, training=False))
    found = keras.tree.flatten(folded(inputs, training=False))
    for one, other in zip(expected, found, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(one).max())


def used_twice():
    images = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1)(images)
    return keras.Model(images, layers.Add()([x, layers.BatchNormalization()(x)]))


def seen():
    images = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1)(images)
    return keras.Model(images, [x, layers.ReLU()(layers.BatchNormalization()(x))])


def named():
    images = keras.Input((8, 8, 4))
    x = layers.BatchNormalization(name="answer")(layers.Conv2D(4, 1)(images))
    return keras.Model(images, [x, layers.ReLU()(x)])


def shared():
    images = keras.Input((8, 8, 4))
    normalize = layers.BatchNormalization()
    return keras.Model(images, layers.ReLU()(normalize(layers.Conv2D(4, 1)(normalize(images)))))


KEPT = {
    "activation": lambda: chain(
        layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()
    ),
    "another axis": lambda: chain(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)),
    "after ReLU": lambda: chain(layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()),
    "used twice": used_twice,
    "an output": seen,
    "the name of an output": named,
    "shared": shared,
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_is_kept(name):
    model = randomise(KEPT[name]())
    folded = fold(model)
    assert normalizations(folded) == 1
    assert_equal(model, folded)


def test_nested_networks_and_whole_architectures():
    model = randomise(nested())
    assert normalizations(fold(model)) == 0
    assert_equal(model, fold(model))
    wide = randomise(architectures.build("wrn-10-1", (8, 8, 3), 5))
    assert normalizations(fold(wide)) == normalizations(wide) - 3  # the second of each block
    assert_equal(wide, fold(wide), 1e-4)


def test_the_fast_precision_is_near_and_leaves_the_last_layer_alone():
    keras.utils.set_random_seed(0)
    model = architectures.build("wrn-10-1", (8, 8, 3), 5)
    folded = fold(model, "mixed_bfloat16")
    assert folded.layers[1].compute_dtype == "bfloat16"
    assert folded.layers[-1].compute_dtype == "float32"
    assert_equal(model, folded, 0.05)
    assert fold(model).layers[1].compute_dtype == "float32"


@pytest.mark.parametrize("precision", [None, "float32", "mixed_bfloat16"])
def test_whole_numbers_stay_whole(precision):
    """bfloat16 has no 301; operations keep the requested dtype."""
    words = keras.Input((), dtype="int32")
    spelling = layers.Embedding(2, 1, name="spelling")
    x = keras.ops.cast(spelling(words) + 0.5, "int32")
    model = keras.Model(words, layers.Embedding(400, 1)(x))
    spelling.set_weights([np.array([[300.0], [301.0]])])
    model.layers[-1].set_weights([np.arange(400.0)[:, None]])
    said = fold(model, precision)(np.array([0, 1]), training=False)
    np.testing.assert_array_equal(np.ravel(said), [300.0, 301.0])


def test_a_language_model_of_many_operations_is_folded():
    words = ["a", "word", "of", "some", "letters"]
    model = architectures.build_language_model("cnn-lstm-1-8", words)
    inputs = np.array([[0, 1, 2], [3, 4, 0]])
    for precision, tolerance in (("float32", 1e-5), ("mixed_bfloat16", 0.05)):
        said = fold(model, precision)(inputs, training=False)
        np.testing.assert_allclose(said, model(inputs, training=False), atol=tolerance)


def test_a_model_that_was_loaded_or_used_elsewhere_is_folded_as_well(tmp_path):
    model = randomise(FOLDED["convolution"]())
    model.save(tmp_path / "model.keras")
    assert normalizations(fold(keras.models.load_model(tmp_path / "model.keras"))) == 0
    folded = fold(model)
    model.layers[0](keras.Input((8, 8, 4)))
    copy_folded(model, folded)
    assert_equal(model, folded)
    assert normalizations(fold(model)) == 0


def test_new_weights_are_taken_over_and_nothing_is_trained():
    model = randomise(nested())
    folded = fold(model)
    randomise(model, seed=3)
    copy_folded(model, folded)
    assert_equal(model, folded)
    assert folded.trainable_weights == []


def test_what_cannot_be_rebuilt_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    class Further(keras.Model):
        def __init__(self):
            images = keras.Input((4,))
            super().__init__(images, layers.Dense(1)(images))

    subclassed = Subclassed()
    subclassed(np.zeros((1, 4)))
    for model in (subclassed, Further()):
        with pytest.raises(ValueError, match="must be a Functional or Sequential model"):
            fold(model)
    with pytest.raises(ValueError, match=r"precision must be a dtype policy.*'bf16'"):
        fold(nested(), "bf16")
    with pytest.raises(ValueError, match=r"must be a Keras model\. Received: 3"):
        fold(3)
    with pytest.raises(ValueError, match="must be built"):
        fold(keras.Sequential([layers.Dense(1)]))
