"""A run is resumed with the networks, the training and the data that it was begun with."""

import json
import os
import pathlib
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import warm

import ban_tf
from ban_tf.errors import RunDirectoryError

layers = keras.layers
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :3].argmax(-1)
FIXED = np.random.default_rng(1).normal(size=(4, 4)).astype("float32")


def build(activation="tanh", rate=0.1, table=FIXED):
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation=activation)(keras.ops.matmul(inputs, table))
    return keras.Model(inputs, layers.Dense(3)(layers.Dropout(rate)(hidden)))


def sgd(**changes):
    return keras.optimizers.SGD(**{"learning_rate": 0.1, "momentum": 0.9, **changes})


def run(directory, build=build, generations=0, x=X, y=Y, **changes):
    """Trains what is missing, as one process does."""
    of_fit = ("epochs", "batch_size", "compile", "validation_data", "class_weight", "callbacks")
    arguments = {"epochs": 1, "batch_size": 8, "compile": {"optimizer": sgd}, "verbose": 0}
    arguments |= {name: changes.pop(name) for name in of_fit if name in changes}
    if isinstance(arguments["compile"], dict):
        arguments["compile"] = {"run_eagerly": True, **arguments["compile"]}
    lineage = ban_tf.Lineage(build, generations, directory=directory, **changes)
    with lineage.directory:
        return lineage.fit(x, y, **arguments)


OTHERS = [
    ({"build": lambda: build(activation="relu")}, "`build` was a network"),
    ({"build": lambda: build(rate=0.2)}, "`build` was a network"),
    ({"build": lambda: build(table=FIXED + 1)}, "`build` was a network"),
    ({"objective": "dkpp"}, "`objective` was 'kd' and is now 'dkpp'"),
    ({"label_weight": 0.5}, "`label_weight` was None and is now 0.5"),
    ({"teacher_weight": 2.0}, "`teacher_weight` was 1 and is now 2"),
    ({"temperature": 3.0}, "`temperature` was None and is now 3"),
    ({"teacher": "ensemble"}, "`teacher` was 'previous' and is now 'ensemble'"),
    ({"keep": "best"}, "`keep` was 'last' and is now 'best'"),
    ({"seed": 1}, "`seed` was 0 and is now 1"),
    ({"batch_size": 16}, "`batch_size` was 8 and is now 16"),
    ({"class_weight": {0: 2.0, 1: 1.0, 2: 1.0}}, "`class_weight` was None"),
    (
        {"compile": {"optimizer": lambda: sgd(learning_rate=0.2)}},
        r"`compile.optimizer.learning_rate` was 0.1\d* and is now 0.2",
    ),
    (
        {"compile": {"optimizer": "adam"}},
        "`compile.optimizer` was SGD and is now Adam",
    ),
    (
        {
            "compile": {
                "optimizer": lambda: sgd(
                    learning_rate=keras.optimizers.schedules.CosineDecay(0.1, 9)
                )
            }
        },
        "`compile.optimizer.learning_rate` was 0.1.* and is now CosineDecay",
    ),
    (
        {"compile": {"optimizer": sgd, "loss": "mse"}},
        "`compile.loss` was None and is now 'mse'",
    ),
    ({"x": np.where(X > 2, 0, X)}, r"`x` was an array \(32, 4\) .* and is now an array"),
    ({"y": np.roll(Y, 1)}, "`y` was an array"),
    ({"x": X[:16], "y": Y[:16]}, r"is now an array \(16, 4\)"),
    ({"validation_data": (X[8:], Y[8:])}, "`validation_data"),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "begun"
    run(directory, objective="kd")
    return directory


@pytest.mark.parametrize(("changes", "message"), OTHERS)
def test_another_recipe_is_refused(changes, message, begun):
    before = (begun / "manifest.json").read_bytes()
    with pytest.raises(RunDirectoryError, match=message):
        run(begun, generations=1, **{"objective": "kd", **changes})
    assert json.loads((begun / "manifest.json").read_bytes()) == json.loads(before)


def test_what_may_change_may_change(tmp_path):
    """More generations and epochs, callbacks, metrics, and how steps are executed."""
    run(tmp_path)
    longer = run(
        tmp_path,
        generations=1,
        epochs=2,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        compile={"optimizer": sgd(), "metrics": ["accuracy"], "jit_compile": False},
    )
    assert [len(generation.history) for generation in longer.generations] == [1, 2]


@pytest.mark.nightly
def test_a_function_in_a_configuration_is_known_by_its_name(tmp_path):
    class Configured(keras.losses.MeanSquaredError):
        def get_config(self):
            function = keras.saving.serialize_keras_object(keras.losses.log_cosh)
            return {**super().get_config(), "function": function}

    compile = {"optimizer": sgd, "loss": Configured()}
    assert run(tmp_path, y=X[:, :3], compile=compile).generations
    assert len(run(tmp_path, y=X[:, :3], compile=compile, generations=1).generations) == 2


def named(name):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 9, name=name)
    return {"optimizer": lambda: sgd(learning_rate=rate)}


@pytest.mark.nightly
def test_only_names_that_keras_counts_may_change(tmp_path):
    def compile(loss):
        return {"optimizer": sgd, "loss": loss}

    mse = keras.losses.MeanSquaredError
    run(tmp_path, y=X[:, :3], compile=compile(mse()))
    run(tmp_path, y=X[:, :3], compile=compile(mse(name="mean_squared_error_7")))
    with pytest.raises(
        RunDirectoryError, match=r"`compile\.loss\.name` was None and is now 'mine'"
    ):
        run(tmp_path, y=X[:, :3], compile=compile(mse(name="mine")))
    run(tmp_path / "nested", compile=named("slow"))
    with pytest.raises(
        RunDirectoryError, match=r"learning_rate.name` was 'slow' and is now 'fast'"
    ):
        run(tmp_path / "nested", compile=named("fast"))


@pytest.mark.nightly
def test_a_schedule_that_follows_from_the_epochs_is_the_same_recipe(tmp_path):
    def compile(epochs):
        decay = keras.optimizers.schedules.CosineDecay(0.1, 4 * epochs)
        return {"optimizer": sgd(learning_rate=decay)}

    run(tmp_path, compile=compile)
    run(tmp_path, generations=1, epochs=3, compile=compile)
    with pytest.raises(RunDirectoryError, match=r"learning_rate\.decay_steps` was 4 and is now 8"):
        run(tmp_path, generations=1, epochs=3, compile=lambda epochs: compile(2 * epochs))


@pytest.mark.nightly
def test_a_run_that_has_trained_nothing_is_held_to_nothing(tmp_path):
    ban_tf.Lineage(build, directory=tmp_path, temperature=2.0).directory.close()
    lineage = run(tmp_path, build=lambda: build(rate=0.3), generations=0)
    assert len(lineage.generations) == 1


@pytest.mark.nightly
def test_a_run_of_an_earlier_version_is_resumed_and_then_known(tmp_path):
    run(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["facts"]["recipe"], manifest["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert len(run(tmp_path, generations=1).generations) == 2
    with pytest.raises(RunDirectoryError, match="`y` was an array"):
        run(tmp_path, generations=2, y=np.roll(Y, 1))


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.data, self.labels = x, y

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return self.data[rows], self.labels[rows]


@pytest.mark.nightly
def test_a_data_frame_and_the_arrays_of_a_dataset_are_known_by_their_content(tmp_path):
    for name, make in (("frame", pd.DataFrame), ("tensor", tf.constant)):
        run(tmp_path / name, x=make(X))
        run(tmp_path / name, x=make(X.copy()), generations=1)
        with pytest.raises(RunDirectoryError, match="`x"):
            run(tmp_path / name, x=make(X + 1), generations=2)
    changes = {"y": None, "batch_size": None}
    run(tmp_path / "batches", x=Batches(X, Y), **changes)
    run(tmp_path / "batches", x=Batches(X, Y), generations=1, **changes)
    with pytest.raises(RunDirectoryError, match=r"`x\.labels` was an array"):
        run(tmp_path / "batches", x=Batches(X, np.roll(Y, 1)), generations=2, **changes)


@pytest.mark.nightly
def test_data_that_only_reading_would_show_is_reported_as_not_compared(tmp_path, capsys):
    def data(generation, epoch, step):
        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)

    for generations in (0, 1):
        lineage = ban_tf.Lineage(build, generations, directory=tmp_path)
        with lineage.directory:
            lineage.fit(data, compile={"optimizer": sgd}, verbose=2)
        said = "the content of `x` is not compared" in capsys.readouterr().out
        assert said == bool(generations)
    with pytest.raises(RunDirectoryError, match="`x` was a function and is now a data set"):
        run(tmp_path, generations=2, x=data(0, 0, 0), y=None, batch_size=None)


@pytest.mark.nightly
def test_another_process_knows_the_same_network(tmp_path):
    """Layers are named otherwise there, and objects lie elsewhere in memory."""
    run(tmp_path, objective="kd")
    program = f"""
import keras
keras.layers.Dense(2)  # counts on
import test_lineage_recipe as t
t.run({str(tmp_path)!r}, generations=1, objective="kd")
t.run({str(tmp_path)!r}, generations=1, objective="kd", build=lambda: t.build(rate=0.2))
"""
    done = warm.run(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "`build` was a network" in done.stderr.splitlines()[-1]
    assert (tmp_path / "generation-1" / "model.keras").exists()
