"""The order of arrays follows from the seed: in every process, thread and loop, and on resume."""

import asyncio
import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys
import threading

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import test_lineage_data as data
import tiny_lineage

import ban_tf
from ban_tf.errors import InputError
from ban_tf.system import seeds, signals
from ban_tf.training import array_epochs

X, Y, BATCH, STEPS = data.X, data.Y, data.BATCH, data.STEPS


def trained(
    *, generations=1, seed=0, build=data.fixed, x=X, y=Y, directory=None, callbacks=(), **fit
):
    lineage = ban_tf.Lineage(build, generations, objective="labels", seed=seed, directory=directory)
    arguments = {"epochs": 2, "batch_size": BATCH, "verbose": 0, **fit}
    arguments.setdefault("compile", {"optimizer": lambda: keras.optimizers.SGD(data.RATE)})
    try:
        return lineage.fit(x, y, callbacks=lambda generation: list(callbacks), **arguments)
    finally:
        if lineage.directory is not None:
            lineage.directory.close()


def weights(lineage):
    return [array.tolist() for number in (0, 1) for array in lineage.generations[number].weights]


def rows(seed, generation, epoch):
    of_epoch = seeds.derive_seed(seeds.derive_seed(seed, "order", generation), epoch)
    return np.random.default_rng(of_epoch).permutation(len(X)).reshape(STEPS, BATCH)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("seed", [0, 3])
def test_arrays_are_shuffled_by_seed_generation_and_epoch(seed):
    np.random.seed(seed + 1)  # of no influence
    lineage = trained(seed=seed)
    for generation in lineage.generations:
        batches = [batch for e in range(2) for batch in rows(seed, generation.number, e)]
        expected = data.by_hand(data.fixed().get_weights(), batches)
        for ours, theirs in zip(generation.weights, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_shuffling_within_batches_keeps_the_batches():
    epochs, _ = array_epochs.separate(X, {"y": Y, "shuffle": "batch", "batch_size": BATCH})
    batches = epochs.batches(0, 0, 0)
    for number in range(epochs.steps):
        x, _ = batches[number]
        part = X[number * BATCH : (number + 1) * BATCH]
        assert not np.array_equal(x, part)
        np.testing.assert_array_equal(np.sort(x, axis=0), np.sort(part, axis=0))


def test_the_steps_of_an_epoch_may_be_fewer_or_end_with_a_smaller_batch():
    epochs, left = array_epochs.separate(X, {"y": Y, "batch_size": 24, "callbacks": []})
    assert left.pop("validation_batch_size") == 24
    assert left == {"callbacks": [], "steps_per_epoch": 3, "shuffle": False}
    assert [len(epochs.batches(0, 0, 1)[number][0]) for number in range(3)] == [24, 16, 24]
    epochs, _ = array_epochs.separate(X, {"y": Y, "batch_size": 8, "steps_per_epoch": 2})
    assert epochs.steps == 2
    seen = [epochs.batches(0, *divmod(number, 2))[0][0] for number in range(8)]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen), axis=0), np.sort(X, axis=0))
    epochs, _ = array_epochs.separate(X, {"y": Y, "steps_per_epoch": 5})
    assert len(epochs.batches(0, 0, 0)[0][0]) == 13  # as Keras divides them


@pytest.mark.parametrize(
    ("x", "fit"),
    [
        (data.as_dataset(np.arange(8).reshape(2, 4)), {}),
        (tf.sparse.from_dense(X), {"y": Y}),
        (X, {"y": Y[:5]}),
        (X, {"y": Y, "batch_size": 32, "steps_per_epoch": 3}),
    ],
)
def test_what_is_no_array_or_does_not_fit_is_left_to_keras(x, fit):
    assert array_epochs.separate(x, fit) == (None, fit)


def two_inputs(names):
    inputs = [keras.Input((5,), name=name) for name in ("a", "b")]
    added = keras.layers.Add()(inputs)
    model = keras.Model(
        dict(zip("ab", inputs, strict=True)) if names else inputs, keras.layers.Dense(2)(added)
    )
    model.set_weights(data.fixed().get_weights())
    return model


def of_text():
    words = keras.layers.TextVectorization(vocabulary=["yes", "no"], output_sequence_length=1)
    embedding = keras.layers.Embedding(4, 2, embeddings_initializer="ones")
    inputs = keras.Input((1,), dtype="string")
    return keras.Sequential([inputs, words, embedding, keras.layers.Flatten()])


TEXT = np.where(Y == 1, "yes", "no")[:, None]
FORMS = {
    "float64": (X.astype("float64"), Y, data.fixed, {}),
    "tensors": (tf.constant(X), tf.constant(Y), data.fixed, {}),
    "frames": (pd.DataFrame(X), pd.Series(Y), data.fixed, {}),
    "a list": ([X, X + 1], Y, lambda: two_inputs(False), {}),
    "names": ({"a": X, "b": X + 1}, Y, lambda: two_inputs(True), {}),
    "text": (TEXT.astype(object), Y, of_text, {}),
    "weights": (X, Y, data.fixed, {"sample_weight": np.linspace(0, 1, len(X))}),
    "classes": (X, Y, data.fixed, {"class_weight": {0: 0.5, 1: 2.0}}),
    "a part": (X, Y, data.fixed, {"validation_split": 0.25}),
    "a last batch": (X[:50], Y[:50], data.fixed, {}),
}


@pytest.mark.first_cases(3)
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_arrays_train_as_in_fit_itself(form):
    x, y, build, options = FORMS[form]
    keras.utils.set_random_seed(0)
    lineage = trained(generations=0, build=build, x=x, y=y, shuffle=False, **options)
    model = ban_tf.BornAgainModel(build(), objective="labels")
    model.compile(keras.optimizers.SGD(data.RATE))
    x = tf.constant(x) if form == "text" else x  # Keras takes no text in NumPy arrays
    history = model.fit(x, y, epochs=2, batch_size=BATCH, verbose=0, shuffle=False, **options)
    for ours, theirs in zip(
        lineage.generations[0].weights, model.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    losses = [row["loss"] for row in lineage.generations[0].history]
    np.testing.assert_allclose(losses, history.history["loss"], rtol=1e-6)


def test_labels_are_checked_before_the_first_step():
    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(logs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(InputError, match="7"):
        trained(
            y=np.where(Y == 1, 7, 0), callbacks=[watch], compile={"optimizer": "sgd", "loss": loss}
        )
    assert not seen


@pytest.mark.nightly
@pytest.mark.parametrize("moment", ["step", "epoch end"])
def test_a_training_on_arrays_resumes_where_it_was_interrupted(moment, tmp_path):
    compile = {
        "optimizer": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        "metrics": ["accuracy"],
        "run_eagerly": True,
    }
    whole = trained(compile=compile, directory=tmp_path / "whole")
    for count in (2, 1):
        with pytest.raises(signals.Interrupted):
            interrupt = tiny_lineage.Signal(moment, count)
            trained(compile=compile, directory=tmp_path / "it", callbacks=[interrupt])
    resumed = trained(compile=compile, directory=tmp_path / "it")
    tiny_lineage.assert_equal(resumed, whole)


@pytest.mark.nightly
def test_steps_of_arrays_are_saved_in_between(tmp_path):
    lineage = ban_tf.Lineage(data.fixed, 0, directory=tmp_path)
    saved = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: saved.append(
            [name[-12:-4] for name in lineage.directory.names("generation-0/checkpoint-")[-1:]]
        )
    )
    with lineage.directory:
        lineage.fit(
            X, Y, batch_size=BATCH, checkpoint_steps=2, callbacks=[watch], verbose=0,
            compile={"optimizer": "sgd"},
        )  # fmt: skip
    assert saved == [[], [], ["00000002"], ["00000002"]]


def interrupted_and_resumed(directory):
    """Trains, ends after the first epoch, and resumes; returns the weights."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError("interrupted")

    with contextlib.suppress(KeyError):
        trained(directory=directory, callbacks=[Stop()])
    return weights(trained(directory=directory))


@pytest.mark.nightly
def test_in_a_thread_and_under_an_event_loop_the_result_is_the_same(tmp_path):
    found = {}

    def work():
        found["thread"] = interrupted_and_resumed(tmp_path / "thread")

    async def serve():
        found["loop"] = interrupted_and_resumed(tmp_path / "loop")
        found["executor"] = await asyncio.to_thread(interrupted_and_resumed, tmp_path / "executor")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    asyncio.run(serve())
    expected = weights(trained())
    assert found == dict.fromkeys(["thread", "loop", "executor"], expected)


PROGRAM = """
import json, multiprocessing, sys

def work(directory, queue):
    import test_lineage_arrays as t
    queue.put(t.interrupted_and_resumed(directory))

if __name__ == "__main__":
    found = []
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(f"{sys.argv[1]}/{method}", queue))
        process.start()
        found.append(queue.get(timeout=300))
        process.join()
    print(json.dumps(found))
"""


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_in_forked_and_spawned_processes_the_result_is_the_same(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py", tmp_path],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    expected = weights(trained())
    assert json.loads(done.stdout.splitlines()[-1]) == [expected, expected]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", ["arrays", "function"])
def test_validation_has_the_batch_size_of_training(form):
    lineage = trained(
        generations=0,
        x=X if form == "arrays" else lambda *position: X,
        validation_data=(X, Y),
        validation_steps=2,
        batch_size=8,
    )
    kernel, bias = lineage.generations[0].weights
    logits = np.float64(X[:16]) @ kernel + bias
    losses = np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(16), Y[:16]]
    np.testing.assert_allclose(lineage.generations[0].history[-1]["val_loss"], losses.mean(), 1e-5)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("at_once", [3, 5])
def test_steps_at_once_need_not_divide_the_steps_of_an_epoch(at_once, tmp_path):
    def compile(count):
        optimizer = functools.partial(keras.optimizers.SGD, 0.1, momentum=0.9)
        return {"optimizer": optimizer, "steps_per_execution": count}

    whole = trained(compile=compile(1))
    tiny_lineage.assert_equal(trained(compile=compile(at_once)), whole)
    with pytest.raises(signals.Interrupted):
        interrupt = tiny_lineage.Signal("step", 1)
        trained(compile=compile(at_once), directory=tmp_path, callbacks=[interrupt])
    tiny_lineage.assert_equal(trained(compile=compile(at_once), directory=tmp_path), whole)
