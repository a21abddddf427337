"""Layers saved under the names of Keras's own: what they are, copied, pickled and in files."""

from __future__ import annotations

import copy
import functools
import pickle
import sys

import keras
import numpy as np
import pytest
import warm

from ban_tf import layers
from ban_tf.layers.recomputed import Recomputed

CLASSES = [layers.BatchNormalization, layers.Conv2D, Recomputed]
IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


@functools.cache
def _model():
    """A trained model that no test changes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(epsilon=1.001e-5),
            keras.layers.TimeDistributed(layers.BatchNormalization()),
        ]
    )
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(IMAGES, np.ones((4, 6, 6, 4)), verbose=0)
    return model


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_is_shown_and_pickled_as_what_it_is(kind):
    assert repr(kind).startswith("<class 'ban_tf.layers.")
    assert kind.__qualname__ in repr(kind)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(kind, protocol)) is kind
    assert copy.deepcopy(kind) is copy.copy(kind) is kind


class Mine(layers.BatchNormalization):
    """A user's own subclass goes by its own name."""


def test_subclasses_go_by_their_own_names():
    assert repr(Mine) == f"<class '{__name__}.Mine'>"
    assert pickle.loads(pickle.dumps(Mine)) is Mine


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), keras.models.clone_model],
    ids=["deepcopy", "pickle", "clone"],
)
def test_copies_of_a_model_have_its_classes_and_outputs(copied):
    model = _model()
    twin = copied(model)
    twin.set_weights(model.get_weights()) if copied is keras.models.clone_model else None
    assert [type(layer) for layer in twin.layers] == [type(layer) for layer in model.layers]
    assert type(twin.layers[-1].layer) is layers.BatchNormalization
    np.testing.assert_array_equal(twin(IMAGES), model(IMAGES))


@pytest.mark.parametrize("kind", [layers.BatchNormalization, lambda: layers.Conv2D(4, 3)])
def test_a_single_layer_can_be_copied(kind):
    layer = kind()
    expected = layer(IMAGES)
    twin = copy.deepcopy(layer)
    assert type(twin) is type(layer)
    np.testing.assert_array_equal(twin(IMAGES), expected)


_ELSEWHERE = """
import pickle, sys
import numpy as np
{first}
import keras
x = np.load("images.npy")
models = [keras.models.load_model("model.keras")]
models.append(keras.models.load_model("model.h5", compile=False))
models.append(pickle.load(open("model.pickle", "rb")))
models.append(keras.models.model_from_json(open("model.json").read()))
models[-1].set_weights(models[0].get_weights())
np.save("outputs.npy", [model(x) for model in models])
own = [type(layer).__module__.startswith("keras.src.") and not hasattr(type(layer), "_home")
       for model in models for layer in [*model.layers, model.layers[-1].layer]]
print(all(own), any(hasattr(type(m.layers[0]), "_home") for m in models[::2]))
"""


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("first", ["", "import ban_tf"], ids=["plain", "with ban_tf"])
def test_files_load_in_plain_keras_and_as_they_were_with_this_package(tmp_path, first):
    model = _model()
    np.save(tmp_path / "images.npy", IMAGES)
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    (tmp_path / "model.json").write_text(model.to_json())
    script = _ELSEWHERE.format(first=first)
    command = [sys.executable, "-c", script]
    found = warm.run(command, check=True, cwd=tmp_path)
    for outputs in np.load(tmp_path / "outputs.npy"):
        np.testing.assert_allclose(outputs, model(IMAGES), rtol=1e-5, atol=1e-6)
    assert found.stdout.split() == (["False", "True"] if first else ["True", "False"])
