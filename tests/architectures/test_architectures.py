from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.layers import BatchNormalization


@pytest.mark.parametrize(
    "name, classes, millions",
    [
        ("wrn", 10, 0.175),
        ("wrn-16-1", 100, 0.181),
        ("wrn-28-1", 10, 0.369),
        ("wrn-28-2", 10, 1.468),
        ("wrn-28-2", 100, 1.479),
    ],
)
def test_trainable_parameters_are_the_published_count(name, classes, millions):
    model = architectures.build(name, (32, 32, 3), classes)
    count = sum(np.prod(variable.shape) for variable in model.trainable_variables)
    assert round(count / 1e6, 3) == millions
    assert model.output_shape == (None, classes)


def test_network_has_fused_normalisation_named_layers_and_dropout():
    model = architectures.build("wrn-10-2", (8, 8, 1), 10, dropout=0.3)
    names = [layer.name for layer in model.layers]
    assert {"group1_block1_convolution1", "group1_block1_projection"} <= set(names)
    assert sum(isinstance(layer, BatchNormalization) for layer in model.layers) == 7
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.3
    ] * 3


def test_logits_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = architectures.build("wrn-10-1", (8, 8, 1), 10)
    finally:
        keras.config.set_dtype_policy(before)
    assert model(np.zeros((2, 8, 8, 1), "float32")).dtype == "float32"
    assert model.get_layer("stem_convolution").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    "name, resolved",
    [("wrn", "wrn-16-1"), ("wrn-40-4", "wrn-40-4"), ("a.b:c", "a.b:c")],
)
def test_resolve(name, resolved):
    assert architectures.resolve(name) == resolved


@pytest.mark.parametrize(
    "name, message",
    [
        ("wnr-16-1", "--arch=wnr-16-1 is not a known architecture. Did you mean wrn"),
        ("resnet", "--arch=resnet is not a known .* one of .*wrn"),
        ("wrn-17-1", "depth 17; it should be 6n .* such as 16 or 22"),
        ("wrn-4-1", "depth 4; it should be 6n .* such as 10 or 16"),
        ("wrn-16-0", "width 0; it should be at least 1"),
        ("wrn-16", "should be of the form wrn-depth-width"),
        ("module:", "should be of the form package.module:function"),
    ],
)
def test_bad_names_say_what_would_be_right(name, message):
    with pytest.raises(ValueError, match=message):
        architectures.resolve(name)


def test_bad_dropout_is_refused():
    with pytest.raises(ValueError, match=r"dropout=1\.0 should be"):
        architectures.build("wrn", (8, 8, 1), 10, dropout=1.0)


def test_resolving_does_not_import_keras():
    program = (
        "import sys; from ban_tf import architectures; architectures.resolve('wrn');"
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(
        "import keras\n"
        "def good(shape, classes, rate=1):\n"
        "    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(classes * rate)])\n"
        "def half(shape, classes):\n"
        "    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(classes, dtype='float16')])\n"
        "def wrong(shape, classes):\n"
        "    return 'network'\n"
        "def unbuilt(shape, classes):\n"
        "    return keras.Sequential([keras.layers.Dense(classes)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_own_builder_is_called_with_shape_classes_and_options(own):
    model = architectures.build("own_networks:good", (8, 8, 1), 10, rate=1)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("own_networks:good", {"rate": 2}, r"output shape \(None, 20\); it should be \(None, 10\)"),
        ("own_networks:wrong", {}, "returned str; it should return a keras.Model"),
        ("own_networks:half", {}, "float16 logits; they should be float32"),
        ("own_networks:unbuilt", {}, "not built"),
        ("own_networks:missing", {}, "has no function missing"),
        ("no_such_networks:good", {}, "importing no_such_networks failed"),
    ],
)
def test_faults_of_an_own_builder_are_told(own, name, options, message):
    with pytest.raises(ValueError, match=message):
        architectures.build(name, (8, 8, 1), 10, **options)
