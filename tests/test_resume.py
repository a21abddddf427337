"""A run that is stopped anywhere, or whose disk fails anywhere, ends as if nothing had happened."""

import errno
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf import rundir
from ban_tf.history import DivergenceError
from ban_tf.interruption import Interrupted
from ban_tf.rundir import RunDirectoryError, SaveError

EPOCHS, STEPS, BATCH = 2, 3, 8
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 6)).astype("float32")
Y = X[:, :3].argmax(-1)
VALIDATION = (X[:12], Y[:12])


def _build():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )


def _batches(generation, epoch, step):
    """Another order in each epoch of each generation, from any step on."""
    rows = np.concatenate(
        [
            np.random.default_rng([generation, each]).permutation(len(X)).reshape(STEPS, BATCH)
            for each in range(epoch, 3 * EPOCHS)
        ]
    )[step:]
    return tf.data.Dataset.from_tensor_slices((X[rows], Y[rows]))


def _optimizer():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def _lineage(directory, **changes):
    arguments = {"generations": 1, "objective": "dkpp", "keep": "best", "directory": directory}
    return ban_tf.Lineage(_build, **{**arguments, **changes})


def _fit(lineage, **changes):
    arguments = {
        "epochs": EPOCHS,
        "steps_per_epoch": STEPS,
        "validation_data": VALIDATION,
        "validation_batch_size": 6,
        "compile": {"optimizer": _optimizer, "metrics": ["accuracy"], "run_eagerly": True},
    }
    return lineage.fit(_batches, **{**arguments, **changes})


def _with(**changes):
    return {
        "compile": {
            "optimizer": _optimizer,
            "metrics": ["accuracy"],
            "run_eagerly": True,
            **changes,
        }
    }


def _run(directory, **changes):
    """What one process does: takes the directory, trains, and lets go of it."""
    lineage = _lineage(directory)
    with lineage.directory:
        return _fit(lineage, **changes)


def _assert_equal(ours, theirs):
    assert len(ours.generations) == len(theirs.generations)
    for a, b in zip(ours.generations, theirs.generations, strict=True):
        assert a.history == b.history
        assert a.taught_by == b.taught_by
        for left, right in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(left, right)


class Signal(keras.callbacks.Callback):
    """Sends a signal to this very process at one moment of one generation."""

    def __init__(self, moment, count, number=signal.SIGINT):
        super().__init__()
        self.moment, self.left, self.number = moment, count, number

    def _at(self, moment):
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)

    def on_train_batch_begin(self, batch, logs=None):
        self._at("step")

    def on_test_batch_begin(self, batch, logs=None):
        self._at("validation")

    def on_epoch_end(self, epoch, logs=None):
        self._at("epoch end")


@pytest.fixture(scope="module")
def undisturbed():
    return _fit(_lineage(None))


@pytest.mark.parametrize(
    ("generation", "moment", "count"),
    [
        (0, "step", 1),
        (1, "step", 2),
        (0, "step", 3),  # the last of an epoch: only validation is left
        (1, "step", 5),
        (1, "validation", 1),
        (0, "validation", 4),
        (1, "epoch end", 1),
    ],
)
def test_an_interrupted_run_loses_no_step_and_ends_equal(
    tmp_path, undisturbed, generation, moment, count
):
    steps = []

    def callbacks(number, rows):
        seen = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: steps.append(number)
        )
        return [seen, *([Signal(moment, count)] if number == generation else [])]

    with pytest.raises(Interrupted) as caught:
        _run(tmp_path, callbacks=callbacks)
    assert caught.value.signal_number == signal.SIGINT
    assert f"generation {generation}, epoch" in caught.value.saved
    generation = None  # from here on nothing is sent
    _assert_equal(_run(tmp_path, callbacks=callbacks), undisturbed)
    assert len(steps) == 2 * EPOCHS * STEPS


def test_every_second_step_interrupted_still_ends_equal(tmp_path, undisturbed):
    for _ in range(100):
        try:
            lineage = _run(tmp_path, callbacks=lambda *_: [Signal("step", 2, signal.SIGTERM)])
            break
        except Interrupted as interrupted:
            assert interrupted.signal_number == signal.SIGTERM
    _assert_equal(lineage, undisturbed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        lambda: ban_tf.optimizers.make_optimizer(
            "sgd", ban_tf.optimizers.Schedule("cosine", 0.1, EPOCHS * STEPS), weight_decay=1e-3
        ),
    ],
    ids=["ema", "ema-overwriting", "accumulation", "loss-scale", "schedule"],
)
def test_whatever_the_optimizer_carries_goes_on(tmp_path, make):
    whole = _fit(_lineage(None, keep="last"), **_with(optimizer=make))
    for sent in (Signal("step", 5), Signal("step", 5)):
        lineage = _lineage(tmp_path, keep="last")
        with pytest.raises(Interrupted), lineage.directory:
            _fit(lineage, callbacks=[sent], **_with(optimizer=make))
    lineage = _lineage(tmp_path, keep="last")
    with lineage.directory:
        _assert_equal(_fit(lineage, **_with(optimizer=make)), whole)


def test_a_second_signal_stops_at_once(tmp_path):
    lineage = _lineage(tmp_path)
    twice = [Signal("step", 4), Signal("step", 4)]
    with pytest.raises(Interrupted) as caught, lineage.directory:
        _fit(lineage, callbacks=twice)
    assert caught.value.saved == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_data_that_only_starts_with_an_epoch_loses_that_epoch_alone(tmp_path):
    lineage = _lineage(tmp_path)
    with pytest.raises(Interrupted) as caught, lineage.directory:
        lineage.fit(
            X,
            Y,
            epochs=EPOCHS,
            batch_size=BATCH,
            callbacks=[Signal("step", 5)],
            **_with(),
        )
    assert caught.value.saved == "up to generation 0, epoch 1"
    assert lineage.directory.names("generation-0/checkpoint-") == [
        "generation-0/checkpoint-000001-00000000.npz"
    ]


def test_steps_are_saved_as_often_as_asked(tmp_path):
    lineage = _lineage(tmp_path)
    names = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: names.append(
            lineage.directory.names("generation-0/checkpoint-")[-1:]
        )
    )
    with lineage.directory:
        _fit(lineage, callbacks=[watch], checkpoint_steps=2)
    saved = [name[0][-19:-4] if name else None for name in names[: EPOCHS * STEPS]]
    # Before each of the six steps of generation 0.
    assert saved == [None, None, "000000-00000002"] + 2 * ["000001-00000000"] + ["000001-00000002"]


def _operations():
    """Everything that writing to the disk consists of."""
    return {
        "write": ("write_atomically", rundir),
        "fsync": ("fsync", os),
        "rename": ("replace", rundir.pathlib.Path),
    }


@pytest.mark.parametrize("operation", ["write", "fsync", "rename"])
def test_a_disk_that_fails_at_any_write_loses_nothing(
    tmp_path, undisturbed, operation, monkeypatch
):
    """Fails the first write of the first run, the second of the second, until one goes through."""
    name, home = _operations()[operation]
    original, failed = getattr(home, name), 0
    for failing in range(1, 500):
        calls = iter(range(1, 10_000))

        def fail(*arguments, calls=calls, failing=failing):
            if next(calls) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*arguments)

        monkeypatch.setattr(home, name, fail)
        lineage = None
        try:
            lineage = _lineage(tmp_path)
            _fit(lineage)
            break
        except SaveError as error:
            assert "No space left on device" in str(error)
            failed += 1
        finally:
            monkeypatch.setattr(home, name, original)
            if lineage is not None:
                lineage.directory.close()
    assert failed > 5
    _assert_equal(lineage, undisturbed)


def _poisoned(generation, epoch, step):
    """Generation 1 meets a value that is no number in the second step of its second epoch."""
    rows = np.tile(np.arange(STEPS * BATCH).reshape(STEPS, BATCH), (EPOCHS, 1))
    x = X[rows]
    if generation == 1:
        x[STEPS + 1, 0, 0] = np.nan
    first = epoch * STEPS + step
    return tf.data.Dataset.from_tensor_slices((x[first:], Y[rows][first:]))


def test_divergence_names_epoch_and_step_and_keeps_the_last_good_checkpoint(tmp_path):
    lineage = _lineage(tmp_path)
    with lineage.directory:
        with pytest.raises(DivergenceError, match="epoch 2, step 2; before it was") as caught:
            lineage.fit(_poisoned, epochs=EPOCHS, steps_per_epoch=STEPS, **_with())
        assert "checkpoint-000001-00000000.npz" in str(caught.value)
        assert "generation 1" in str(caught.value)
        for name in lineage.directory.names():
            lineage.directory.read(name)


def _steep(generation, epoch, step):
    """Labels that a huge learning rate cannot follow."""
    rows = np.tile(np.arange(STEPS * BATCH).reshape(STEPS, BATCH), (EPOCHS, 1))
    first = epoch * STEPS + step
    return tf.data.Dataset.from_tensor_slices((X[rows][first:], X[rows][first:, :, :3]))


@pytest.mark.parametrize("rate", [1e30, lambda: ban_tf.optimizers.Schedule("constant", 1e30, 100)])
def test_a_retry_goes_on_at_a_tenth_of_the_learning_rate_and_once_only(tmp_path, rate):
    rates = []

    def compile(epochs):
        return {
            "optimizer": keras.optimizers.SGD(rate() if callable(rate) else rate),
            "loss": "mse",
            "run_eagerly": True,
        }

    watch = keras.callbacks.LambdaCallback()
    watch.on_train_batch_begin = lambda batch, logs=None: rates.append(
        float(watch.model.optimizer.learning_rate)
    )
    lineage = ban_tf.Lineage(
        lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]),
        generations=0,
        directory=tmp_path,
        on_divergence="retry",
    )
    with lineage.directory, pytest.raises(DivergenceError, match="again, at a tenth"):
        lineage.fit(
            _steep, epochs=EPOCHS, steps_per_epoch=STEPS, compile=compile, callbacks=[watch]
        )
    np.testing.assert_allclose(sorted(set(rates)), [1e29, 1e30], rtol=1e-5)


def test_a_retry_from_the_same_checkpoint_can_succeed(tmp_path):
    """The poison is gone the second time: the run then ends, and says nothing was lost."""
    reads = []

    def batches(generation, epoch, step):
        reads.append((generation, epoch, step))
        poisoned = generation == 1 and reads.count((1, 1, 0)) == 0
        return (_poisoned if poisoned else _batches)(generation, epoch, step)

    lineage = _lineage(tmp_path, on_divergence="retry")
    with lineage.directory:
        lineage.fit(batches, epochs=EPOCHS, steps_per_epoch=STEPS, **_with())
    assert (1, 1, 0) in reads
    rates = [row["learning_rate"] for row in lineage.generations[1].history]
    np.testing.assert_allclose(rates, [0.1, 0.01], rtol=1e-6)


def test_epochs_may_change_for_generations_that_have_not_begun(tmp_path):
    lineage = _lineage(tmp_path)
    sent = {1: [Signal("step", 4)]}
    with pytest.raises(Interrupted), lineage.directory:
        _fit(lineage, callbacks=lambda number, rows: sent.get(number, []))
    longer = _lineage(tmp_path, generations=2)
    with longer.directory:
        _fit(longer, epochs=1)
    assert [len(each.history) for each in longer.generations] == [EPOCHS, EPOCHS, 1]


def test_fewer_generations_than_there_are_is_refused(tmp_path):
    with (lineage := _lineage(tmp_path)).directory:
        _fit(lineage)
    with pytest.raises(RunDirectoryError, match="holds 1 born-again"):
        _lineage(tmp_path, generations=0)


def test_a_generation_under_way_whose_teacher_was_exchanged_is_refused(tmp_path):
    teacher, other = _build(), _build()
    lineage = _lineage(tmp_path, first_model=teacher)
    with pytest.raises(Interrupted), lineage.directory:
        _fit(lineage, callbacks=[Signal("step", 4)])
    lineage = _lineage(tmp_path, first_model=other)
    with lineage.directory, pytest.raises(RunDirectoryError, match="other teachers"):
        _fit(lineage)


def test_a_collapsed_generation_is_flagged_and_passed_over_as_a_teacher(tmp_path, caplog):
    def batches(generation, epoch, step):
        data = _batches(generation, epoch, step)
        # Generation 1 sees inputs that say nothing.
        return data.map(lambda x, y: (x * 0, y)) if generation == 1 else data

    validation = (X, Y)

    def run(directory):
        lineage = _lineage(directory, generations=2, chance=0.55, keep="last", objective="kd")
        lineage.fit(
            batches,
            epochs=3 * EPOCHS,
            steps_per_epoch=STEPS,
            validation_data=validation,
            compile={
                "optimizer": lambda: keras.optimizers.Adam(0.05),
                "metrics": ["accuracy"],
                "run_eagerly": True,
            },
        )
        lineage.directory.close()
        return lineage

    for lineage in (run(tmp_path), run(tmp_path)):  # trained, and read
        assert [each.collapsed for each in lineage.generations] == [False, True, False]
        assert lineage.generations[2].taught_by == "generation 0"
        assert lineage.teachers_of(2) == [0]
    assert "Generation 1 does no better than chance" in caplog.text
