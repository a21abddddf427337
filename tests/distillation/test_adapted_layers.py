"""Layers that were adapted to data: copies have their state, and files of ensembles load."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from keras import layers

import ban_tf
from ban_tf.compat import copies
from ban_tf.distillation.ensemble import ensemble
from ban_tf.layers import fold, fuse

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(2.0, 3.0, (24, 8)).astype("float32")
WORDS = np.array([["a b"], ["c"], ["a c"]] * 8)
COUNTS = RNG.integers(5, 9, (24, 1))


class Prepared(keras.layers.Layer):
    """Holds an adapted layer, and does not put it in its configuration."""

    def __init__(self, **options):
        super().__init__(**options)
        self.normalization = layers.Normalization()

    def build(self, input_shape):
        self.normalization.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.normalization(inputs) * 2.0


def _adapted(layer, data):
    layer.adapt(data)
    return layer


def _prepared():
    layer = Prepared()
    layer.build((None, 8))
    layer.normalization.adapt(NUMBERS)
    return layer


ADAPTED = {
    "Normalization": lambda: (_adapted(layers.Normalization(), NUMBERS), NUMBERS),
    "TextVectorization": lambda: (_adapted(layers.TextVectorization(), WORDS[:, 0]), WORDS),
    "weighted TextVectorization": lambda: (
        _adapted(layers.TextVectorization(output_mode="tf_idf"), WORDS[:, 0]),
        WORDS,
    ),
    "StringLookup": lambda: (_adapted(layers.StringLookup(output_mode="one_hot"), WORDS), WORDS),
    "IntegerLookup": lambda: (
        _adapted(layers.IntegerLookup(output_mode="multi_hot", max_tokens=4), COUNTS),
        COUNTS,
    ),
    "Discretization": lambda: (
        _adapted(layers.Discretization(num_bins=4, output_mode="multi_hot"), NUMBERS),
        NUMBERS,
    ),
    "Hashing": lambda: (layers.Hashing(5, output_mode="one_hot"), WORDS),
    "CategoryEncoding": lambda: (layers.CategoryEncoding(12, output_mode="multi_hot"), COUNTS),
    "a model": lambda: (
        keras.Sequential(
            [keras.Input((8,)), _adapted(layers.Normalization(), NUMBERS), layers.Rescaling(0.5)]
        ),
        NUMBERS,
    ),
    "a backbone": lambda: (
        keras.Sequential([keras.Input((8,)), layers.Dense(5), layers.BatchNormalization()]),
        NUMBERS,
    ),
}


def _member(layer, data):
    inputs = keras.Input(data.shape[1:], dtype="string" if data.dtype.kind == "U" else data.dtype)
    hidden = layer(inputs)
    if keras.backend.standardize_dtype(hidden.dtype).startswith("int"):
        hidden = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(hidden))
    return keras.Model(inputs, layers.Dense(3)(hidden))


def _softmax(logits):
    shifted = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


_ELSEWHERE = """
import pathlib, sys
import keras, numpy as np, tensorflow as tf
for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
    x = tf.constant(np.load(path.with_suffix(".npy")))
    np.save(path.with_suffix(".out.npy"), keras.models.load_model(path)(x))
assert not any(name.startswith("ban_tf") for name in sys.modules)
"""


@pytest.mark.nightly
def test_ensembles_of_members_that_share_a_layer_load_without_this_package(tmp_path):
    expected = {}
    for name, make in ADAPTED.items():
        layer, data = make()
        members = [_member(layer, data) for _ in range(2)]
        np.save(tmp_path / f"{name}.npy", data)
        ensemble(members, output_kind="categorical").save(tmp_path / f"{name}.keras")
        answers = [_softmax(member(tf.constant(data))) for member in members]
        expected[name] = np.mean(answers, axis=0)
    warm.run([sys.executable, "-c", _ELSEWHERE, str(tmp_path)], check=True)
    for name, mean in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.out.npy"), mean, atol=1e-6)


def test_an_ensemble_loads_whose_member_uses_a_layer_inside_and_outside_of_a_model(tmp_path):
    shared = _adapted(layers.Normalization(), NUMBERS)

    def member():
        inputs = keras.Input((8,))
        inner = keras.Sequential([keras.Input((8,)), shared, layers.Dense(3)])
        return keras.Model(inputs, layers.Add()([inner(inputs), layers.Dense(3)(shared(inputs))]))

    members = [member(), member()]
    ensemble(members, output_kind="categorical").save(tmp_path / "ensemble.keras")
    expected = np.mean([_softmax(member(NUMBERS)) for member in members], axis=0)
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded(NUMBERS), expected, atol=1e-6)


@pytest.mark.nightly
def test_a_lineage_of_a_network_with_an_adapted_layer_has_an_ensemble_that_loads(tmp_path):
    layer, data = ADAPTED["Normalization"]()
    lineage = ban_tf.Lineage(_member(layer, data), 1)
    lineage.fit(data, np.arange(24) % 3, verbose=0, compile={})
    lineage.ensemble([0, 1]).save(tmp_path / "ensemble.keras")
    expected = np.mean([_softmax(lineage.model(number)(data)) for number in (0, 1)], axis=0)
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    np.testing.assert_allclose(loaded(data), expected, atol=1e-6)


@pytest.mark.parametrize("copy", [copies.with_same_weights, fold, fuse])
def test_copies_have_what_a_layer_within_a_layer_was_adapted_to(copy):
    model = keras.Sequential([keras.Input((8,)), _prepared(), layers.Dense(3)])
    hidden = 2 * (np.float64(NUMBERS) - NUMBERS.mean(0)) / NUMBERS.std(0)
    expected = hidden @ np.float64(model.layers[-1].kernel)
    copied = copy(model)
    np.testing.assert_allclose(copied(NUMBERS), expected, atol=1e-5)
    assert not {id(variable) for variable in copied.variables} & {
        id(variable) for variable in model.variables
    }


def test_a_member_whose_call_would_be_lost_is_refused():
    class Doubled(keras.Model):
        def __init__(self, units):
            inputs = keras.Input((8,))
            super().__init__(inputs, layers.Dense(units)(inputs))

        def call(self, inputs, training=None):
            return 2.0 * super().call(inputs, training=training)

    with pytest.raises(ValueError, match=r"`members` .* would be lost"):
        ensemble([Doubled(3), Doubled(3)], output_kind="categorical")
