"""The examples in the docstrings of public names run, on data that they take as given."""

import docstring_examples
import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf

# `Run` needs runs that are finished: see tests/tasks/test_run.py.
EXAMPLES = {
    name: blocks for name, blocks in docstring_examples.blocks().items() if name != "ban_tf.Run"
}


def _model():
    layers = [keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)]
    return keras.Sequential([*layers, keras.layers.Softmax()])


@pytest.fixture
def given():
    """The names that examples take as given."""
    x = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
    y = x[:, :3].argmax(axis=-1)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    student = ban_tf.BornAgainModel(_model(), teacher=_model())
    student.compile(optimizer="sgd")
    return {
        "ban_tf": ban_tf,
        "my_model": _model,
        "teacher": _model(),
        "student": student,
        "make": keras.optimizers.SGD,
        "train": batches,
        "validation": batches,
        "x": x,
        "y": y,
        "x_test": x,
    }


def test_the_main_classes_have_examples():
    assert {"ban_tf.BornAgainModel", "ban_tf.Lineage", "ban_tf.analysis.Analysis"} <= set(EXAMPLES)


# Which train longest; the README has a lineage, too.
_LONGEST = ("ban_tf.Lineage", "ban_tf.analysis.Analysis")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] if name in _LONGEST else [])
        for name in EXAMPLES
    ],
)
def test_the_example_runs(name, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in EXAMPLES[name]:
        exec(block.replace("epochs=30", "epochs=1"), dict(given))
