from __future__ import annotations

import io
import os
import re
import sys
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from ban_tf.report.progress import Progress


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(progress, epochs, initial_epoch=0, callbacks=(), **compiled):
    """Trains a tiny network, four steps an epoch, with the progress shown."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(32, 4)).astype("float32"), rng.integers(3, size=32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], **compiled)
    return model.fit(
        images,
        labels,
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=(images, labels),
        callbacks=[*callbacks, progress],
        verbose=0,
    )


def pass_epochs(progress, epochs, first=0):
    """Calls the callback as `fit` does, without training anything."""
    progress.set_params({"epochs": epochs, "steps": 4})
    progress.on_train_begin()
    for epoch in range(first, epochs):
        progress.on_epoch_begin(epoch)
        for step in range(4):
            progress.on_train_batch_begin(step)
            progress.on_train_batch_end(step, {"loss": 1.0})
        progress.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
    progress.on_train_end()


def epochs_shown(text):
    return [int(epoch) for epoch in re.findall(r"^generation .*epoch (\d+)/", text, re.MULTILINE)]


def test_a_log_file_gets_one_plain_line_an_epoch(capsys):
    history = fit(Progress(1, 3, epochs=3), epochs=3).history
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\r" not in out
    lines = out.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines):
        assert line.startswith(f"generation 1/3  epoch {epoch + 1}/3  loss ")
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert f"{name} {history[name][epoch]:.4f}" in line
    assert re.search(r"\d+:\d\d left$", lines[-1])


def test_a_long_generation_gets_about_ten_lines(capsys):
    pass_epochs(Progress(0, 0, epochs=33), 33)
    out = capsys.readouterr().out
    assert epochs_shown(out) == [1, 4, 8, 12, 16, 20, 24, 28, 32, 33]
    assert "left" not in out.splitlines()[-1]


def test_verbosity_two_shows_every_epoch_and_zero_none(capsys):
    pass_epochs(Progress(0, 0, epochs=12, verbosity=2), 12)
    assert epochs_shown(capsys.readouterr().out) == list(range(1, 13))
    pass_epochs(Progress(0, 0, epochs=2, verbosity=0), 2)
    assert capsys.readouterr().out == ""


def test_a_resumed_generation_shows_the_epoch_it_starts_with(capsys):
    pass_epochs(Progress(2, 3, epochs=30, first_epoch=24), 30, first=24)
    assert epochs_shown(capsys.readouterr().out) == [25, 27, 30]


def test_the_rest_of_an_interrupted_epoch_foretells_nothing(capsys):
    fit(Progress(0, 3, epochs=30, first_epoch=24), epochs=25, initial_epoch=24)
    line = capsys.readouterr().out
    assert "epoch 25/30" in line
    assert "left" not in line


def test_a_training_that_stops_early_shows_its_last_epoch(capsys):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 4

    fit(Progress(0, 1, epochs=30), epochs=30, callbacks=[Stop()])
    assert epochs_shown(capsys.readouterr().out) == [1, 3, 5]


def test_only_the_chosen_logs_are_shown(capsys):
    fit(Progress(0, 0, epochs=1, shown=("val_accuracy", "absent")), epochs=1)
    assert re.fullmatch(
        r"generation 0/0  epoch 1/1  val_accuracy 0\.\d{4}\n", capsys.readouterr().out
    )


def test_steps_between_two_updates_cost_no_drawing(monkeypatch):
    progress = Progress(0, 0, epochs=1, file=Terminal())
    progress.set_params({"steps": 6})
    drawn = []
    monkeypatch.setattr(progress, "_update_bar", lambda completed: drawn.append(completed))
    clock = iter([0.0, 0.1, 0.2, 0.3, 0.4, 0.6])
    monkeypatch.setattr("ban_tf.report.progress.time", SimpleNamespace(monotonic=clock.__next__))
    for step in range(6):
        progress.on_train_batch_end(step, {"loss": 1.0})
    assert drawn == [1, 4, 6]


def test_time_left_is_for_the_whole_lineage(monkeypatch):
    clock = iter([100.0, 100.0 + 60.0])
    monkeypatch.setattr("ban_tf.report.progress.time", SimpleNamespace(monotonic=clock.__next__))
    screen = io.StringIO()
    progress = Progress(1, 3, epochs=2, file=screen)
    progress.set_params({"steps": 4})
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(1)
    progress.on_epoch_end(0, {"loss": 1.0})
    # Half an epoch took one minute; five of three times two epochs are left.
    assert screen.getvalue().endswith("loss 1.0000  10:00 left\n")


def test_a_generation_of_other_epochs_than_the_later_ones_counts_its_own(capsys):
    fit(Progress(0, 2, epochs=3, first_epoch=1, later_epochs=50), epochs=3, initial_epoch=1)
    lines = capsys.readouterr().out.splitlines()
    assert ["epoch 2/3" in lines[0], "epoch 3/3" in lines[1]] == [True, True]
    assert all(re.search(r"\d:\d\d left$", line) for line in lines)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_every_line_but_the_last_of_a_lineage_shows_the_time_left(steps_per_execution, capsys):
    """Also where less than half a second is left, and where the first step is a whole epoch."""
    for generation in (0, 1):
        progress = Progress(generation, 1, epochs=3)
        fit(progress, epochs=3, steps_per_execution=steps_per_execution)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert [bool(re.search(r"\d:\d\d left$", line)) for line in lines] == [True] * 5 + [False]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_and_gets_its_cursor_back():
    import pty

    master, slave = pty.openpty()
    received = []

    def drain():
        try:
            while chunk := os.read(master, 4096):
                received.append(chunk)
        except OSError:
            pass  # the other end is closed

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(slave, "w") as terminal:
        fit(Progress(1, 3, epochs=4, file=terminal), epochs=4)
    reader.join()
    os.close(master)
    text = b"".join(received).decode()
    assert "━" in text and "/4 " in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")
    shown = re.findall(r"^generation 1/3  epoch (\d)/4  loss", plain, re.MULTILINE)
    assert shown == ["1", "2", "3", "4"]


def test_a_screen_that_is_lost_does_not_end_the_training():
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w")
    assert len(fit(Progress(0, 1, epochs=2, file=pipe), epochs=2).epoch) == 2
    with pytest.raises(BrokenPipeError):
        pipe.close()  # what was not written is still in its buffer
    closed = io.StringIO()
    closed.close()
    assert len(fit(Progress(0, 1, epochs=2, file=closed), epochs=2).epoch) == 2


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines_only(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    screen = Terminal()
    pass_epochs(Progress(0, 0, epochs=2, file=screen), 2)
    assert epochs_shown(screen.getvalue()) == [1, 2]
    assert "\x1b" not in screen.getvalue() and "━" not in screen.getvalue()


def test_an_unknown_verbosity_is_refused():
    with pytest.raises(ValueError, match=r"0, 1 or 2\. Received: 3"):
        Progress(0, 0, epochs=1, verbosity=3)
