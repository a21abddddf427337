"""`--feature_weight`: runs whose students also learn from features of their teacher."""

import importlib
import sys

import keras
import numpy as np
import pytest

from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.errors import InputError
from ban_tf.tasks import runner
from tests.run_weights import assert_same_weights, weights

_MODULE = """
import keras


def _network(shape, classes, name, *widths):
    blocks = [
        keras.layers.Conv2D(width, 3, strides=2, activation="relu", name=name and f"{name}_{index}")
        for index, width in enumerate(widths)
    ]
    end = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input(shape), *blocks, *end])


def teacher(shape, classes):
    return _network(shape, classes, "teacher", 6)


def student(shape, classes):
    return _network(shape, classes, "student", 3, 4)


def nameless(shape, classes):
    return _network(shape, classes, None, 3)
"""
_TINY = {
    **{"arch": "unlike:teacher", "student_arch": "unlike:student", "gens": 1, "epochs": 2},
    **{"train_examples": 60, "batch_size": 27, "progress": "none", "strategy": "one"},
    **{"feature_weight": 0.5, "augment": "none", "report": False},
}


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "unlike.py").write_text(_MODULE)
    monkeypatch.delitem(sys.modules, "unlike", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def _options(folder, **changes):
    return options.check(options.Options(**{**_TINY, "workdir": str(folder), **changes}))


def test_a_student_of_another_kind_learns_from_features(tmp_path):
    runner.run(_options(tmp_path / "one", feature_layers="teacher_0:student_1"))
    header, *rows = (tmp_path / "one" / "generation-1" / "history.csv").read_text().splitlines()
    found = dict(zip(header.split(","), map(float, rows[-1].split(",")), strict=True))
    assert found["distillation_loss"] > 0
    assert len(weights(tmp_path / "one", 1)) == 6  # of the student alone
    with pytest.raises(InputError, match="feature_loss"):
        runner.run(_options(tmp_path / "one", feature_loss="attention"))


@pytest.mark.nightly
def test_a_seed_repeats_a_student_and_its_projections(tmp_path):
    for name in ("one", "two"):
        runner.run(_options(tmp_path / name, feature_layers="teacher_0:student_1"))
    assert_same_weights(tmp_path / "one", tmp_path / "two", (1,))


@pytest.mark.nightly
def test_layers_with_a_new_automatic_name_each_time_are_found_again(tmp_path):
    runner.run(_options(tmp_path / "run", arch="unlike:teacher", student_arch="unlike:nameless"))
    assert len(weights(tmp_path / "run", 1)) == 4


@pytest.mark.nightly
def test_a_given_teacher_whose_pixels_are_converted_is_looked_into(tmp_path):
    train = digits.load().train
    keras.utils.set_random_seed(0)
    network = importlib.import_module("unlike").teacher((8, 8, 1), 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.03), loss)
    network.fit(train.images / np.float32(255), train.labels, epochs=8, verbose=0)
    network.save(tmp_path / "given.keras")
    given = {"teacher_from": str(tmp_path / "given.keras"), "teacher_input": "zero_to_one"}
    for name, layers in (("auto", "auto"), ("named", "teacher_0:student_1")):
        runner.run(_options(tmp_path / name, feature_layers=layers, epochs=1, **given))
        assert len(weights(tmp_path / name, 1)) == 6
        rows = (tmp_path / name / "generation-1" / "history.csv").read_text()
        assert "distillation_loss" in rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_layers": "a"}, "--feature_layers=a must be auto, or pairs of"),
        ({"feature_layers": "a:b:c"}, "as A:B,C:D"),
        ({"gens": 2}, "--feature_weight compares .* it needs --gens=1"),
        ({"teacher_precision": "auto"}, "--feature_weight reads layers of the teacher"),
        ({"teacher_signal": "recorded"}, "--feature_weight needs more than the teacher's recorded"),
    ],
)
def test_flags_that_cannot_be_had_together_are_refused(changes, message, tmp_path):
    with pytest.raises(options.OptionsError, match=message):
        _options(tmp_path / "run", **changes)


def test_a_layer_that_does_not_exist_is_named_before_training(tmp_path):
    with pytest.raises(InputError, match=r"--feature_layers=x:y: The teacher .* no layer 'x'"):
        runner.run(_options(tmp_path / "run", feature_layers="x:y"))
    assert not (tmp_path / "run" / "generation-0").exists()
