"""Progress of a lineage on the screen.

On a terminal: one live bar that fills once an epoch, with the time that remains for all
generations. There and anywhere else: about ten plain lines for each generation, so that a log
file stays short and a terminal keeps a record when the bar is gone.

Training does not wait for the screen: Keras on TensorFlow turns the logs of every step into
numbers anyway, the bar takes them four times a second at most and is drawn by a thread of its
own, and a screen that is lost (a closed pipe, a terminal that hung up) is written to no more.
"""

from __future__ import annotations

import atexit
import math
import sys
import time
from collections.abc import Sequence
from typing import TextIO, cast

import keras
from rich import progress as rich_progress
from rich.console import Console
from rich.table import Column

from ban_tf.errors import InputError

SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")

_LINES_PER_GENERATION = 10
_SECONDS_BETWEEN_UPDATES = 0.25


class Progress(keras.callbacks.Callback):
    """Shows where a lineage is; to be used with `fit(..., verbose=0)`, one for each generation.

    Args:
        generation: The number of the generation in training.
        generations: The number of the last generation.
        epochs: Epochs of each generation.
        first_epoch: The epoch that training starts with; Keras's `initial_epoch`.
        verbosity: 0 shows nothing; 1 a bar on a terminal and about ten lines for each
            generation; 2 one line an epoch and no bar.
        shown: Which of Keras's logs to show, in this order; absent ones are passed over.
        file: Where to write, standard output by default.

    Raises:
        InputError: If `verbosity` is not 0, 1 or 2.
    """

    def __init__(
        self,
        generation: int,
        generations: int,
        epochs: int,
        first_epoch: int = 0,
        *,
        verbosity: int = 1,
        shown: Sequence[str] = SHOWN,
        file: TextIO | None = None,
    ):
        super().__init__()
        if verbosity not in (0, 1, 2):
            raise InputError(f"`verbosity` must be 0, 1 or 2. Received: {verbosity!r}.")
        self._title = f"generation {generation}/{generations}"
        self._epochs = epochs
        self._first_epoch = first_epoch
        self._lineage_epochs = (generations - generation + 1) * epochs
        lines = epochs if verbosity == 2 else _LINES_PER_GENERATION
        self._epochs_per_line = max(1, math.ceil(epochs / lines))
        self._shown = tuple(shown)
        self._logs: dict[str, float] = {}
        self._unshown_epoch: int | None = None
        self._epoch = first_epoch
        # When, and after how many epochs: the training began; its first step was done.
        self._begun: tuple[float, float] | None = None
        self._clock_start: tuple[float, float] | None = None
        self._next_update = 0.0

        stream = sys.stdout if file is None else file
        self._console = Console(
            file=cast(TextIO, _Screen(stream)),  # it has what the console calls
            highlight=False,
            quiet=verbosity == 0 or stream is None,
        )
        self._bar = None
        if verbosity == 1 and self._console.is_interactive and not self._console.quiet:
            self._bar = _bar(self._console, stream)
            self._task = self._bar.add_task(self._title, total=None, epoch="", news="", left="")

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Puts the bar on the screen."""
        self._begun = (time.monotonic(), self._first_epoch)
        if self._bar is not None:
            # A training that fails never reaches on_train_end, and would hide the cursor.
            atexit.register(self.close)
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Empties the bar."""
        self._epoch = epoch
        self._update_bar(completed=0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Fills the bar, now and then."""
        now = time.monotonic()
        if self._clock_start is None:
            # From the end of the first step, since the first one includes tracing the graph.
            self._clock_start = (now, self._epoch + self._fraction(batch + 1))
        if self._bar is None or now < self._next_update:
            return
        self._next_update = now + _SECONDS_BETWEEN_UPDATES
        self._logs |= logs or {}
        self._update_bar(completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints a line where one is due."""
        self._logs |= logs or {}
        self._update_bar(completed=self.params.get("steps") or 0)
        self._unshown_epoch = epoch
        done = epoch + 1
        if epoch == self._first_epoch or done % self._epochs_per_line == 0 or done == self._epochs:
            self._print_line()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Prints the last line if it was not due, and takes the bar off the screen."""
        if self._unshown_epoch is not None:
            self._print_line()
        self.close()

    def close(self) -> None:
        """Takes the bar off the screen; for a caller that caught what ended the training."""
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self.close)

    def _print_line(self) -> None:
        epoch, self._unshown_epoch = self._unshown_epoch, None
        assert epoch is not None
        left = self._time_left(epoch + 1)
        parts = [self._title, f"epoch {epoch + 1}/{self._epochs}", *self._news(), left]
        line = "  ".join(part for part in parts if part)
        self._console.print(line, markup=False, soft_wrap=True)

    def _update_bar(self, completed: int) -> None:
        if self._bar is None:
            return
        self._bar.update(
            self._task,
            total=self.params.get("steps"),
            completed=completed,
            epoch=f"epoch {self._epoch + 1}/{self._epochs}",
            news=" ".join(self._news(digits=3)),
            left=self._time_left(self._epoch + self._fraction(completed)),
        )

    def _news(self, digits: int = 4) -> list[str]:
        return [
            f"{name} {float(self._logs[name]):.{digits}f}"
            for name in self._shown
            if name in self._logs
        ]

    def _fraction(self, steps: int) -> float:
        """The part of an epoch that so many steps are; 0 while its length is unknown."""
        return steps / self.params["steps"] if self.params.get("steps") else 0.0

    def _time_left(self, epochs_done: float) -> str:
        """Words for the time that the whole lineage still needs, at the pace so far."""
        if self.params.get("epochs", self._epochs) < self._epochs:
            return ""  # the rest of an epoch that was interrupted: not what an epoch takes
        # The first step includes tracing the graph: it counts only while there is no other.
        for clock in (self._clock_start, self._begun):
            if clock is not None and epochs_done > clock[1]:
                start, epochs_before = clock
                pace = (time.monotonic() - start) / (epochs_done - epochs_before)
                seconds = math.ceil(pace * (self._lineage_epochs - epochs_done))
                return f"{_clock(seconds)} left" if seconds > 0 else ""
        return ""


class _Screen:
    """A text stream that falls silent, instead of failing, once its other end is gone."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        self._attempt("write", text)
        return len(text)

    def flush(self) -> None:
        self._attempt("flush")

    def _attempt(self, method: str, *arguments: str) -> None:
        if self._stream is None:
            return
        try:
            getattr(self._stream, method)(*arguments)
        except OSError:
            self._stream = None
        except ValueError:
            if not self._stream.closed:
                raise
            self._stream = None


def _bar(console: Console, stream: TextIO) -> rich_progress.Progress:
    """The live bar; narrow terminals cut off its last column."""
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.TextColumn("{task.fields[epoch]}"),
        rich_progress.BarColumn(bar_width=10),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[left]}"),
        rich_progress.TextColumn(
            "{task.fields[news]}",
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        console=console,
        expand=True,
        transient=True,
        refresh_per_second=1 / _SECONDS_BETWEEN_UPDATES,
        # What others print appears above the bar, but only what goes to this same screen.
        redirect_stdout=stream is sys.stdout,
        redirect_stderr=stream is sys.stdout and sys.stderr is not None and sys.stderr.isatty(),
    )


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
