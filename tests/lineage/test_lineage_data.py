"""`Lineage.fit(x=function)` calls it for each epoch; data that trains nothing is refused."""

import importlib.util
import json
import os
import pathlib
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny_lineage
import warm

import ban_tf
from ban_tf.system import signals

layers = keras.layers
X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
BATCH, STEPS, RATE = 16, 4, 0.5


def build():
    return keras.Sequential([keras.Input((5,)), layers.Dense(2)])


def order(generation, epoch):
    return np.random.default_rng([generation, epoch]).permutation(len(X))


class Batches(keras.utils.PyDataset):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return X[self.rows[index]], Y[self.rows[index]]


def as_dataset(rows):
    return tf.data.Dataset.from_tensor_slices((X[rows], Y[rows]))


def as_uncounted_dataset(rows):
    return as_dataset(rows).filter(lambda x, y: True)


def as_grain(rows):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(rows)).map(lambda row: (X[row], Y[row])).to_iter_dataset()


def as_generator(rows):
    return ((X[row], Y[row]) for row in rows)


KINDS = [as_dataset, as_uncounted_dataset, Batches, as_grain, as_generator]


def by_hand(start, batches):
    """Plain gradient descent on the mean cross-entropy of a linear model, in float64."""
    kernel, bias = (np.asarray(entry, "float64") for entry in start)
    for rows in batches:
        x, y = X[rows].astype("float64"), np.eye(2)[Y[rows]]
        logits = x @ kernel + bias
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        gradient = (exponentials / exponentials.sum(-1, keepdims=True) - y) / len(rows)
        kernel, bias = kernel - RATE * x.T @ gradient, bias - RATE * gradient.sum(0)
    return [kernel, bias]


def fixed():
    model = build()
    model.set_weights([np.linspace(-1, 1, 10).reshape(5, 2), np.zeros(2)])
    return model


@pytest.mark.first_cases(2)
@pytest.mark.parametrize("steps", [STEPS, None])
@pytest.mark.parametrize("kind", KINDS)
def test_the_function_is_called_for_each_epoch(kind, steps):
    calls = []

    def data(generation, epoch, step):
        calls.append((generation, epoch, step))
        return kind(order(generation, epoch).reshape(STEPS, BATCH)[step:])

    lineage = ban_tf.Lineage(fixed, generations=1, objective="labels")
    lineage.fit(
        data,
        epochs=3,
        steps_per_epoch=steps,
        verbose=0,
        compile={"optimizer": lambda: keras.optimizers.SGD(RATE)},
    )
    assert calls == [(generation, epoch, 0) for generation in range(2) for epoch in range(3)]
    for generation in lineage.generations:
        batches = [
            rows for e in range(3) for rows in order(generation.number, e).reshape(STEPS, BATCH)
        ]
        expected = by_hand(fixed().get_weights(), batches)
        for ours, theirs in zip(generation.weights, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_arrays_of_each_epoch_come_with_labels_of_their_own_argument():
    seen = []

    def data(generation, epoch, step):
        seen.append(epoch)
        return X * (epoch + 1)

    class Inputs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            losses.append(logs["loss"])

    losses = []
    lineage = ban_tf.Lineage(fixed, generations=0)
    compile = {"optimizer": lambda: keras.optimizers.SGD(0.0)}
    lineage.fit(data, Y, epochs=2, batch_size=32, verbose=0, compile=compile, callbacks=[Inputs()])
    assert seen == [0, 1]
    kernel = fixed().get_weights()[0].astype("float64")
    for epoch, loss in enumerate(losses):
        logits = (epoch + 1) * X.astype("float64") @ kernel
        margins = np.where(Y == 1, 1, -1) * (logits[:, 1] - logits[:, 0])
        np.testing.assert_allclose(loss, np.mean(np.log1p(np.exp(-margins))), rtol=1e-5)


@pytest.mark.nightly
def test_the_function_of_an_endless_stream_is_called_once():
    calls = []

    def data(generation, epoch, step):
        calls.append((generation, epoch, step))
        return as_dataset(order(generation, 0).reshape(STEPS, BATCH)).repeat()

    lineage = ban_tf.Lineage(build, generations=1)
    lineage.fit(data, epochs=3, steps_per_epoch=2, verbose=0, compile={"optimizer": "sgd"})
    assert calls == [(0, 0, 0), (1, 0, 0)]


def test_executions_of_a_stream_that_would_read_beyond_an_epoch_are_refused():
    stream = as_dataset(order(0, 0).reshape(STEPS, BATCH)).repeat()
    lineage = ban_tf.Lineage(build, generations=0)
    several = {"optimizer": "sgd", "steps_per_execution": 2}
    with pytest.raises(ValueError, match=r"`steps_per_execution` of 2 must divide .* Received: 3"):
        lineage.fit(stream, epochs=2, steps_per_epoch=3, verbose=0, compile=several)
    lineage.fit(stream, epochs=2, steps_per_epoch=4, verbose=0, compile=several)
    assert len(lineage.generations) == 1


def test_callbacks_see_one_training_and_every_epoch_of_it():
    seen = []

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append("begin")

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)

        def on_train_end(self, logs=None):
            seen.append("end")

    def data(generation, epoch, step):
        seen.append("called")
        return as_dataset(order(generation, epoch).reshape(STEPS, BATCH))

    lineage = ban_tf.Lineage(build, generations=0)
    lineage.fit(data, epochs=2, verbose=0, compile={"optimizer": "sgd"}, callbacks=[Note()])
    # The first data is there before training begins, the others when their epoch does.
    assert seen == ["called", "begin", 0, 1, "called", "end"]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("moment", "counts"), [("step", (2, 3)), ("epoch end", (1, 2))])
def test_a_resumed_run_equals_one_that_never_stopped(kind, moment, counts, tmp_path):
    def data(generation, epoch, step):
        return kind(order(generation, epoch).reshape(STEPS, BATCH)[step:])

    def run(directory, *callbacks):
        lineage = ban_tf.Lineage(build, generations=1, directory=tmp_path / directory)
        optimizer = lambda: keras.optimizers.SGD(0.1, momentum=0.9)  # noqa: E731
        with lineage.directory:
            return lineage.fit(
                data,
                epochs=2,
                steps_per_epoch=STEPS,
                verbose=0,
                compile={"optimizer": optimizer, "metrics": ["accuracy"], "run_eagerly": True},
                callbacks=lambda generation: list(callbacks),
            )

    whole = run("whole")
    for count in counts:
        with pytest.raises(signals.Interrupted):
            run("interrupted", tiny_lineage.Signal(moment, count))
    tiny_lineage.assert_equal(run("interrupted"), whole)


@pytest.mark.nightly
def test_replicas_share_the_data_of_each_epoch():
    program = """
import json, keras, tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import ban_tf, test_lineage_data as t
calls = []
def data(generation, epoch, step):
    calls.append([generation, epoch, step])
    return t.as_dataset(t.order(generation, epoch).reshape(-1)).batch(t.BATCH)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    lineage = ban_tf.Lineage(t.fixed, generations=0)
    lineage.fit(data, epochs=2, verbose=0,
                compile={"optimizer": lambda: keras.optimizers.SGD(t.RATE)})
print(json.dumps([calls, [w.tolist() for w in lineage.generations[0].weights]]))
"""
    done = warm.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path]),
        },
        check=True,
    )
    calls, weights = json.loads(done.stdout.splitlines()[-1])
    assert calls == [[0, 0, 0], [0, 1, 0]]
    batches = [rows for epoch in range(2) for rows in order(0, epoch).reshape(STEPS, BATCH)]
    for ours, theirs in zip(weights, by_hand(fixed().get_weights(), batches), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def dataset(batches=STEPS):
    return as_dataset(order(0, 0).reshape(STEPS, BATCH)[:batches])


HAS_GRAIN = importlib.util.find_spec("grain") is not None
EMPTY = [
    pytest.param(
        {
            "x": as_grain(order(0, 0).reshape(STEPS, BATCH)) if HAS_GRAIN else None,
            "steps_per_epoch": STEPS,
        },
        "ran out of data in epoch 2, after 0 of its 4 steps",
        marks=pytest.mark.skipif(not HAS_GRAIN, reason="grain is not installed"),
    ),
    ({"x": X[:0], "y": Y[:0]}, "`x` is empty"),
    ({"x": pd.DataFrame(X[:0]), "y": Y[:0]}, "`x` is empty"),
    ({"x": {"a": X[:0]}, "y": Y[:0]}, "`x` is empty"),
    ({"x": [], "y": []}, "`x` is empty"),
    ({"x": None}, "`x` is None"),
    ({"x": dataset(0)}, "`x` is empty"),
    ({"x": Batches([])}, "`x` is empty"),
    ({"x": dataset().filter(lambda x, y: False)}, "ran out of data in epoch 1, after 0 steps"),
    ({"x": X, "y": Y, "validation_data": (X[:0], Y[:0])}, "`validation_data` is empty"),
    ({"x": X, "y": Y, "validation_data": dataset(0)}, "`validation_data` is empty"),
    ({"x": dataset().repeat()}, "`x` is endless; give `steps_per_epoch`"),
    ({"x": lambda g, e, s: dataset(0)}, "`x` returned 0 batches for epoch 1"),
    ({"x": lambda g, e, s: dataset(0 if e else 2)}, "`x` returned 0 batches for epoch 2"),
    ({"x": lambda g, e, s: dataset(4 - e)}, "3 batches for epoch 2 and 4 for the one before"),
    ({"x": lambda g, e, s: dataset().repeat()}, "endless data; give `steps_per_epoch`"),
    ({"x": lambda g, e, s: None}, "`x` returned None"),
    (
        {"x": lambda g, e, s: dataset(2), "steps_per_epoch": 4},
        "`x` returned 2 batches for epoch 1, but 4 are left",
    ),
    (
        {"x": lambda g, e, s: as_generator(order(g, e).reshape(8, 8)[:3]), "steps_per_epoch": 4},
        "ran out of data in epoch 1, after 3 of its 4 steps",
    ),
    (
        {"x": as_uncounted_dataset(order(0, 0).reshape(STEPS, BATCH)), "steps_per_epoch": STEPS},
        "ran out of data in epoch 2, after 0 of its 4 steps",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), EMPTY)
def test_data_that_trains_nothing_is_refused(arguments, message, tmp_path):
    lineage = ban_tf.Lineage(build, generations=1, directory=tmp_path)
    with pytest.raises(ValueError, match=message):
        lineage.fit(epochs=2, verbose=0, compile={"optimizer": "sgd"}, **arguments)
    assert lineage.generations == []
    assert not list(tmp_path.glob("generation-*/model.keras"))


@pytest.mark.nightly
def test_uncounted_data_that_grows_is_refused():
    """Keras takes as many batches in each epoch as in the first one, and one more."""

    def data(generation, epoch, step):
        return as_generator(order(0, 0).reshape(8, 8)[: 2 + 3 * epoch])

    lineage = ban_tf.Lineage(build, generations=0)
    with pytest.raises(ValueError, match="`x` returned more batches for epoch 2"):
        lineage.fit(data, epochs=2, verbose=0, compile={"optimizer": "sgd"})
