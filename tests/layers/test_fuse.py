"""Fusing the batch normalization of a user's model leaves everything else as it was."""

import keras
import numpy as np
import pytest
from keras import layers

from ban_tf.layers import BatchNormalization, Conv2D, fuse


def randomise(model, seed=0):
    draw = np.random.default_rng(seed)
    model.set_weights([draw.uniform(0.2, 1.0, weight.shape) for weight in model.get_weights()])
    return model


def functional():
    images = keras.Input((8, 8, 3), name="images")
    x = layers.Conv2D(4, 3, padding="same")(images)
    shared = layers.BatchNormalization(name="shared", momentum=0.6)
    x = layers.Add()([shared(x), layers.ReLU()(shared(x * 2.0))])
    return keras.Model(images, {"features": x, "mean": layers.GlobalAveragePooling2D()(x)})


def sequential():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()],
        name="convolutions",
    )


def nested():
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layers.Dense(2)(layers.Flatten()(sequential()(images))))


def flat_layers(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)


def names(model):
    """Names of all layers except inputs, which Keras names again unless the user did."""
    return [layer.name for layer in flat_layers(model) if not isinstance(layer, layers.InputLayer)]


@pytest.mark.parametrize("build", [functional, sequential, nested])
def test_same_outputs_weights_and_names(build):
    model = randomise(build())
    fused = fuse(model)
    assert type(fused) is type(model)
    assert names(fused) == names(model)
    kinds = {type(layer) for layer in flat_layers(fused)}
    assert {BatchNormalization, Conv2D} <= kinds
    assert not {layers.BatchNormalization, layers.Conv2D} & kinds
    for got, expected in zip(fused.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype("float32")
    for training in (False, True):
        outputs = [keras.tree.flatten(network(x, training=training)) for network in (fused, model)]
        for got, expected in zip(*outputs, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.nightly
def test_weights_are_copies():
    model = randomise(sequential())
    before = model.get_weights()
    fused = fuse(model)
    fused.compile("sgd", "mse")
    fused.fit(np.ones((4, 8, 8, 3)), np.ones((4, 6, 6, 4)), verbose=0)
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.nightly
def test_keras_applications_network():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=10)
    fused = fuse(model)
    assert sum(type(layer) is BatchNormalization for layer in fused.layers) == 52
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        fused.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5
    )


def test_trainable_flags_are_kept():
    model = nested()
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Sequential))
    inner.trainable = False
    inner.layers[0].trainable = True
    fused = fuse(model)
    flags = [[layer.trainable for layer in flat_layers(network)] for network in (fused, model)]
    assert flags[0] == flags[1]
    assert len(fused.trainable_weights) == len(model.trainable_weights)


@pytest.mark.nightly
def test_compiled_model_can_train_further():
    model = sequential()
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse", metrics=["mae"])
    fused = fuse(model)
    history = fused.fit(np.ones((4, 8, 8, 3)), np.ones((4, 6, 6, 4)), verbose=0).history
    assert set(history) == {"loss", "mae"}
    assert fused.optimizer.momentum == 0.9


def test_adapted_layers_keep_what_they_learnt():
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (16, 8, 8, 3)))
    model = keras.Sequential([keras.Input((8, 8, 3)), normalization, layers.BatchNormalization()])
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(fuse(model)(x), model(x), rtol=1e-5, atol=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def test_subclassed_model_is_refused():
    model = Subclassed()
    model(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"Functional or Sequential.*type Subclassed"):
        fuse(model)


def test_what_is_no_model_or_unbuilt_is_refused():
    with pytest.raises(ValueError, match=r"must be a Keras model\. Received: None"):
        fuse(None)
    with pytest.raises(ValueError, match="must be built"):
        fuse(keras.Sequential([layers.BatchNormalization()]))
