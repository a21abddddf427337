from __future__ import annotations

import keras
import numpy as np
import pytest

from ban_tf.layers import BatchNormalization, fuse


def block(name):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
            keras.layers.BatchNormalization(name=f"{name}_normalization"),
        ],
        name=name,
    )


def nested():
    inputs = keras.Input((8, 8, 3))
    shared = block("shared")
    outputs = keras.layers.Add()([shared(inputs), block("other")(shared(inputs))])
    return keras.Model(inputs, keras.layers.BatchNormalization()(outputs))


def mobile_net():
    return keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))


def normalizations(model):
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "moving_mean")]
    assert layers
    return layers


@pytest.mark.parametrize("build", [lambda: block("block"), nested, mobile_net])
def test_fuse_replaces_every_layer_and_keeps_weights_and_outputs(build):
    model = build()
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in model.get_weights()])
    fused = fuse(model)
    assert {type(layer) for layer in normalizations(model)} == {keras.layers.BatchNormalization}
    assert {type(layer) for layer in normalizations(fused)} == {BatchNormalization}
    assert len(normalizations(model)) == len(normalizations(fused))
    for ours, theirs in zip(fused.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(fused(images), model(images), rtol=1e-4, atol=1e-5)


def test_fuse_keeps_trainable_flags():
    model = nested()
    model.get_layer("shared").trainable = False
    model.get_layer("other").layers[0].trainable = False
    fused = fuse(model)
    assert [v.path for v in fused.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert not fused.get_layer("shared").trainable
    assert fused.get_layer("other").trainable


def test_fuse_refuses_a_subclassed_model():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="Subclassed, a subclassed model; it should be"):
        fuse(Subclassed())
