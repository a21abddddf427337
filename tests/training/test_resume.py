"""A run that is stopped anywhere, or whose disk fails anywhere, ends as if nothing had happened."""

import contextlib
import os
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf.errors import DivergenceError, RunDirectoryError
from ban_tf.system import signals
from ban_tf.system.signals import Interrupted
from tests.tiny_lineage import (
    BATCH,
    EPOCHS,
    STEPS,
    Signal,
    X,
    Y,
    assert_equal,
    batches_of,
    build,
    compiled,
    fit,
    make_lineage,
    run_once,
)


@pytest.fixture(scope="module")
def undisturbed():
    return fit(make_lineage(None))


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("generation", "moment", "count"),
    [
        (1, "step", 2),
        (0, "step", 1),
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
        run_once(tmp_path, callbacks=callbacks)
    assert caught.value.signal_number == signal.SIGINT
    assert f"generation {generation}, epoch" in caught.value.saved
    generation = None  # from here on nothing is sent
    assert_equal(run_once(tmp_path, callbacks=callbacks), undisturbed)
    assert len(steps) == 2 * EPOCHS * STEPS


def _rising(epoch):
    return 0.5 + epoch


def _cooling(epoch):
    return 4.0 / (1 + epoch)


@pytest.mark.nightly
def test_schedules_of_weights_and_temperature_resume_within_an_epoch(tmp_path):
    scheduled = {"label_weight": _rising, "teacher_weight": _cooling, "temperature": _cooling}

    def run(directory, **changes):
        lineage = make_lineage(directory, **scheduled)
        with lineage.directory or contextlib.nullcontext():
            return fit(lineage, **changes)

    # In the second step of either epoch, and in the validation after it.
    for moment, count in (("step", 2), ("validation", 1), ("step", 2), ("validation", 1)):
        sent = {1: [Signal(moment, count)]}
        with pytest.raises(Interrupted):
            run(tmp_path, callbacks=lambda number, rows, sent=sent: sent.get(number, []))
    scheduled_run = run(None)
    assert_equal(run(tmp_path), scheduled_run)
    for row in scheduled_run.generations[1].history:
        epoch = row["epoch"] - 1
        total = _rising(epoch) * row["label_loss"] + _cooling(epoch) * row["teacher_loss"]
        np.testing.assert_allclose(row["loss"], total, rtol=1e-5)


@pytest.mark.nightly
def test_every_second_step_interrupted_still_ends_equal(tmp_path, undisturbed):
    for _ in range(100):
        try:
            lineage = run_once(tmp_path, callbacks=lambda *_: [Signal("step", 2, signal.SIGTERM)])
            break
        except Interrupted as interrupted:
            assert interrupted.signal_number == signal.SIGTERM
    assert_equal(lineage, undisturbed)


@pytest.mark.nightly
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
        lambda: keras.optimizers.ScheduleFreeAdamW(0.01),
    ],
    ids=["ema", "ema-overwriting", "accumulation", "loss-scale", "schedule", "schedule-free"],
)
def test_the_state_of_any_optimizer_is_restored(tmp_path, make):
    def run(directory, *sent):
        lineage = make_lineage(directory, keep="last", generations=0)
        arguments = {"validation_data": None, "callbacks": list(sent), **compiled(optimizer=make)}
        with lineage.directory or contextlib.nullcontext():
            return fit(lineage, **arguments)

    whole = run(None)
    for _ in range(2):  # in each of the two epochs
        with pytest.raises(Interrupted):
            run(tmp_path, Signal("step", 2))
    assert_equal(run(tmp_path), whole)


def test_a_second_signal_stops_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    lineage = make_lineage(tmp_path)
    twice = [Signal("step", 4), Signal("step", 4)]
    with pytest.raises(Interrupted) as caught, lineage.directory:
        fit(lineage, callbacks=twice)
    assert caught.value.saved == ""
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_nobody_has_answered_is_raised_at_the_end():
    with pytest.raises(Interrupted) as caught, signals.defer_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.signal_number == signal.SIGTERM


@pytest.fixture
def without_nohup():
    """Under nohup, the tests themselves ignore the signal of a closed terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("without_nohup")
def test_a_closed_terminal_may_send_its_signal_twice():
    before = signal.getsignal(signal.SIGHUP)
    with pytest.raises(Interrupted) as caught, signals.defer_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        deferred = True
    assert deferred
    assert caught.value.signal_number == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_after_any_signal_stops_at_once(first):
    deferred = False
    with pytest.raises(Interrupted) as caught, signals.defer_signals():
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), signal.SIGINT)
        deferred = True
    assert not deferred
    assert caught.value.signal_number == signal.SIGINT


def test_a_training_under_nohup_outlives_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.defer_signals() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interruption_that_something_swallows_comes_again(monkeypatch):
    monkeypatch.setattr(signals, "_PATIENCE", 0.05)
    before = signal.signal(signal.SIGTERM, signals.raise_interrupt)
    try:
        with contextlib.suppress(BaseException):  # as in some modules while they are imported
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            threading.Event().wait(60)
    finally:
        signals.cancel_alarm()
        signal.signal(signal.SIGTERM, before)
    assert caught.value.signal_number == signal.SIGTERM


def test_an_alarm_of_the_user_s_own_is_left_alone():
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        signal.setitimer(signal.ITIMER_REAL, 600)
        with signals.defer_signals():
            pass
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        with pytest.raises(Interrupted), signals.defer_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.nightly
def test_validation_that_is_interrupted_twice_is_resumed_for_all_callbacks(tmp_path, undisturbed):
    """The second signal comes where only validation is left, and is answered within a step."""
    batches, epochs, sent = [], [], []

    def callbacks(number, rows):
        recorder = keras.callbacks.LambdaCallback(
            on_test_batch_begin=lambda batch, logs: batches.append(batch),
            on_epoch_end=lambda epoch, logs: epochs.append((number, epoch, logs["val_accuracy"])),
        )
        return [recorder, *sent]

    for count in (3, 1):
        sent[:] = [Signal("validation", count)]
        with pytest.raises(Interrupted):
            run_once(tmp_path, callbacks=callbacks)
    assert batches == [0, 1, 0, 0]
    sent.clear()
    assert_equal(run_once(tmp_path, callbacks=callbacks), undisturbed)
    rows = [
        (generation.number, row)
        for generation in undisturbed.generations
        for row in generation.history
    ]
    assert epochs == [(number, row["epoch"] - 1, row["val_accuracy"]) for number, row in rows]


def test_data_that_only_starts_with_an_epoch_loses_that_epoch_alone(tmp_path):
    lineage = make_lineage(tmp_path)
    with pytest.raises(Interrupted) as caught, lineage.directory:
        lineage.fit(
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH),
            epochs=EPOCHS,
            callbacks=[Signal("step", 5)],
            **compiled(),
        )
    assert caught.value.saved == "up to generation 0, epoch 1"
    assert lineage.directory.names("generation-0/checkpoint-") == [
        "generation-0/checkpoint-000001-00000000.npz"
    ]


def test_steps_are_saved_every_checkpoint_steps(tmp_path):
    lineage = make_lineage(tmp_path, generations=0)
    names = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: names.append(
            lineage.directory.names("generation-0/checkpoint-")[-1:]
        )
    )
    with lineage.directory:
        fit(lineage, callbacks=[watch], checkpoint_steps=2)
    saved = [name[0][-19:-4] if name else None for name in names]
    # Before each of the six steps.
    assert saved == [None, None, "000000-00000002"] + 2 * ["000001-00000000"] + ["000001-00000002"]


def _poisoned(generation, epoch, step):
    """Generation 1 meets a value that is no number in the second step of its second epoch."""
    rows = np.tile(np.arange(STEPS * BATCH).reshape(STEPS, BATCH), (EPOCHS, 1))
    x = X[rows]
    if generation == 1:
        x[STEPS + 1, 0, 0] = np.nan
    first = epoch * STEPS + step
    return tf.data.Dataset.from_tensor_slices((x[first:], Y[rows][first:]))


def test_divergence_names_epoch_and_step_and_keeps_the_last_good_checkpoint(tmp_path):
    lineage = make_lineage(tmp_path)
    with lineage.directory:
        with pytest.raises(DivergenceError, match="epoch 2, step 2; before it was") as caught:
            lineage.fit(_poisoned, epochs=EPOCHS, steps_per_epoch=STEPS, **compiled())
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
def test_a_retry_resumes_at_a_tenth_of_the_learning_rate_and_once_only(tmp_path, rate):
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


@pytest.mark.nightly
@pytest.mark.parametrize("checkpoint_steps", [None, 1])
def test_a_retry_from_the_same_checkpoint_can_succeed(tmp_path, checkpoint_steps):
    """The poison is gone the second time: the run then ends, and says nothing was lost."""
    reads, again = [], (1, 1, checkpoint_steps or 0)
    # The beginning of an epoch is read twice: when it begins, and when it is tried again.
    times = 1 if checkpoint_steps else 2

    def batches(generation, epoch, step):
        reads.append((generation, epoch, step))
        poisoned = generation == 1 and reads.count(again) < times
        return (_poisoned if poisoned else batches_of)(generation, epoch, step)

    lineage = make_lineage(tmp_path, on_divergence="retry")
    with lineage.directory:
        lineage.fit(
            batches,
            epochs=EPOCHS,
            steps_per_epoch=STEPS,
            checkpoint_steps=checkpoint_steps,
            **compiled(),
        )
    assert reads.count(again) >= times
    rates = [row["learning_rate"] for row in lineage.generations[1].history]
    np.testing.assert_allclose(rates, [0.1, 0.01], rtol=1e-6)


@pytest.mark.nightly
def test_epochs_may_change_for_generations_that_have_not_begun(tmp_path):
    lineage = make_lineage(tmp_path)
    sent = {1: [Signal("step", 4)]}
    with pytest.raises(Interrupted), lineage.directory:
        fit(lineage, callbacks=lambda number, rows: sent.get(number, []))
    longer = make_lineage(tmp_path, generations=2)
    with longer.directory:
        fit(longer, epochs=1)
    assert [len(generation.history) for generation in longer.generations] == [EPOCHS, EPOCHS, 1]


@pytest.mark.nightly
def test_fewer_generations_than_there_are_is_refused(tmp_path):
    with (lineage := make_lineage(tmp_path)).directory:
        fit(lineage)
    with pytest.raises(RunDirectoryError, match="holds 1 born-again"):
        make_lineage(tmp_path, generations=0)


def test_a_generation_under_way_whose_teacher_was_exchanged_is_refused(tmp_path):
    teacher, other = build(), build()
    lineage = make_lineage(tmp_path, first_model=teacher)
    with pytest.raises(Interrupted), lineage.directory:
        fit(lineage, callbacks=[Signal("step", 4)])
    lineage = make_lineage(tmp_path, first_model=other)
    with lineage.directory, pytest.raises(RunDirectoryError, match="other teachers"):
        fit(lineage)


@pytest.mark.nightly
def test_a_collapsed_generation_is_flagged_and_passed_over_as_a_teacher(tmp_path, caplog):
    def batches(generation, epoch, step):
        data = batches_of(generation, epoch, step)
        # Generation 1 sees inputs that say nothing.
        return data.map(lambda x, y: (x * 0, y)) if generation == 1 else data

    validation = (X, Y)

    def run(directory):
        lineage = make_lineage(directory, generations=2, chance=0.55, keep="last", objective="kd")
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
        assert [kept.collapsed for kept in lineage.generations] == [False, True, False]
        assert lineage.generations[2].taught_by == "generation 0"
        assert lineage.teachers_of(2) == [0]
    assert "Generation 1 is no better than chance" in caplog.text
