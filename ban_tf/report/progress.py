"""Progress of a lineage on the screen.

On a terminal: one live progress bar per epoch, with the remaining time of all generations. There
and elsewhere: about ten plain lines per generation, so that log files stay short and a terminal
keeps a record when the bar is gone.

Training does not wait for the screen: Keras on TensorFlow converts the logs of every step to
numbers anyway, the bar is updated at most four times a second by its own thread, and output stops
silently if the terminal goes away (a closed pipe, a hang-up).
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
    """Shows the progress of a lineage; use with `fit(..., verbose=0)`, one per generation.

    Args:
        generation: The number of the generation in training.
        generations: The number of the last generation.
        epochs: Epochs of this generation.
        first_epoch: The first epoch of this training; Keras's `initial_epoch`.
        verbosity: 0 shows nothing; 1 a bar on a terminal and about ten lines per generation;
            2 one line per epoch and no bar.
        shown: The Keras logs to show, in this order; missing ones are skipped.
        later_epochs: Epochs of each later generation; None for those of this one, from which they
            differ where it was begun with others and is resumed.
        file: The output stream, standard output by default.

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
        later_epochs: int | None = None,
        file: TextIO | None = None,
    ):
        super().__init__()
        if verbosity not in (0, 1, 2):
            raise InputError(f"`verbosity` must be 0, 1 or 2. Received: {verbosity!r}.")
        self._title = f"generation {generation}/{generations}"
        self._epochs = epochs
        self._first_epoch = first_epoch
        later = epochs if later_epochs is None else later_epochs
        self._lineage_epochs = epochs + (generations - generation) * later
        lines = epochs if verbosity == 2 else _LINES_PER_GENERATION
        self._epochs_per_line = max(1, math.ceil(epochs / lines))
        self._shown = tuple(shown)
        self._logs: dict[str, float] = {}
        self._unshown_epoch: int | None = None
        self._epoch = first_epoch
        # Time and finished epochs at the start of training, and after its first step.
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
        """Shows the bar."""
        self._begun = (time.monotonic(), self._first_epoch)
        if self._bar is not None:
            # A failing training never calls on_train_end, and the cursor would stay hidden.
            atexit.register(self.close)
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Resets the bar."""
        self._epoch = epoch
        self._update_bar(completed=0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Updates the bar, a few times per second."""
        now = time.monotonic()
        if self._clock_start is None:
            # From the end of the first step, which includes tracing the graph.
            self._clock_start = (now, self._epoch + self._fraction(batch + 1))
        if self._bar is None or now < self._next_update:
            return
        self._next_update = now + _SECONDS_BETWEEN_UPDATES
        self._logs |= logs or {}
        self._update_bar(completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints a line if one is due."""
        self._logs |= logs or {}
        self._update_bar(completed=self.params.get("steps") or 0)
        self._unshown_epoch = epoch
        done = epoch + 1
        if epoch == self._first_epoch or done % self._epochs_per_line == 0 or done == self._epochs:
            self._print_line()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Prints the last line if it is not printed yet, and removes the bar."""
        if self._unshown_epoch is not None:
            self._print_line()
        self.close()

    def close(self) -> None:
        """Removes the bar; for callers that catch an exception of the training."""
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
        """Returns the fraction of an epoch; 0 while its length is unknown."""
        return steps / self.params["steps"] if self.params.get("steps") else 0.0

    def _time_left(self, epochs_done: float) -> str:
        """Returns the estimated remaining time of the lineage as text."""
        if self.params.get("epochs", self._epochs) < self._epochs:
            return ""  # no estimate during a resumed partial epoch
        # The first step includes tracing the graph: it only counts while there is no other.
        for clock in (self._clock_start, self._begun):
            if clock is not None and epochs_done > clock[1]:
                start, epochs_before = clock
                pace = (time.monotonic() - start) / (epochs_done - epochs_before)
                seconds = math.ceil(pace * (self._lineage_epochs - epochs_done))
                return f"{_clock(seconds)} left" if seconds > 0 else ""
        return ""


class _Screen:
    """A text stream that stops silently, instead of failing, once its other end is closed."""

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
    """Returns the live bar; narrow terminals cut off its last column."""
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
        # Other output to the same stream appears above the bar.
        redirect_stdout=stream is sys.stdout,
        redirect_stderr=stream is sys.stdout and sys.stderr is not None and sys.stderr.isatty(),
    )


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
