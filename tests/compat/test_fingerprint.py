"""Fingerprints: equal for what computes the same, in any process, and different for all else."""

from __future__ import annotations

import json
import random
import sys

import keras
import numpy as np
import pytest
import warm
from keras import layers

from ban_tf.compat import fingerprint
from tests import networks

_ELSEWHERE = """
import json, keras
from ban_tf.compat import fingerprint
from tests import networks
for _ in range(3):  # names are counted up
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.ReLU()])
print(json.dumps({n: fingerprint.of_model(networks.build(n, 0)) for n in networks.PAIRS}))
"""


@pytest.mark.parametrize("name", networks.PAIRS)
def test_what_computes_something_else_has_another_fingerprint(name):
    first, other = networks.build(name, 0), networks.build(name, 1)
    for weights in (True, False):
        assert fingerprint.of_model(first, weights) != fingerprint.of_model(other, weights)


@pytest.mark.nightly
def test_the_same_network_has_the_same_fingerprint_in_another_process():
    found = warm.run([sys.executable, "-c", _ELSEWHERE], check=True)
    here = {name: fingerprint.of_model(networks.build(name, 0)) for name in networks.PAIRS}
    assert json.loads(found.stdout) == here


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("build", [lambda: networks.build("own model", 0), lambda: _dropping()])
def test_training_changes_the_weights_alone(build):
    model = build()
    before, weights = fingerprint.configuration(model), fingerprint.of_model(model)
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.ones((8, 4), "float32"), np.zeros(model(np.ones((8, 4))).shape, "float32")
    model.fit(x, y, validation_data=(x, y), verbose=0)
    model.predict(x, verbose=0)
    assert fingerprint.configuration(model) == before
    assert fingerprint.of_model(model) != weights


def _dropping():
    return keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(3)])


def test_how_weights_start_and_what_is_drawn_in_training_do_not_count():
    def build(seed):
        start = keras.initializers.RandomNormal(seed=seed)
        inside = [layers.Dropout(0.5, seed=seed), layers.Dense(3, kernel_initializer=start)]
        return keras.Sequential([keras.Input((4,)), *inside])

    first, second = build(1), build(2)
    assert fingerprint.of_model(first, weights=False) == fingerprint.of_model(second, weights=False)
    assert fingerprint.of_model(first) != fingerprint.of_model(second)
    second.set_weights(first.get_weights())
    assert fingerprint.of_model(first) == fingerprint.of_model(second)


def test_a_global_that_code_reads_counts_between_processes_and_not_within_one(monkeypatch):
    model = networks.build("own model", 0)
    with_globals, without = fingerprint.of_model(model), fingerprint.of_model(model, weights=False)
    monkeypatch.setattr(networks, "TABLE", np.ones(4, "float32"))
    assert fingerprint.of_model(model) != with_globals
    assert fingerprint.of_model(model, weights=False) == without


def test_looking_draws_no_random_number_and_counts_up_no_name():
    model = networks.build("own layer", 0)
    name = layers.Dense(1).name
    state = random.getstate()
    fingerprint._bare.cache_clear()
    fingerprint.of_model(model)
    assert random.getstate() == state
    assert layers.Dense(1).name == f"dense_{int(name.split('_')[1]) + 1}"


def test_a_saved_model_keeps_its_fingerprint(tmp_path):
    model = networks.build("architecture", 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert fingerprint.of_model(loaded) == fingerprint.of_model(model)
