"""The graph of a network and a profile of a few of its training steps, for TensorBoard.

Keras's TensorBoard callback (`profile_batch`) cannot be used: its profiles have no step markers, so
that TensorBoard shows no step time (tensorflow/tensorboard#6954), it repeats all scalars under
other names, and its graph is empty for a model with a custom `train_step`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ban_tf.system import event_files
from ban_tf.system.files import convert_os_errors

# After the steps in which graphs are traced and memory is allocated; in units of executions.
_FIRST, _LAST = 4, 8


class Profile(keras.callbacks.Callback):
    """Records the graph and the profile into `<directory>/profile/generation-<k>/`.

    TensorBoard shows the graph; the profile needs the package tensorboard-plugin-profile.

    Args:
        directory: The log directory of the lineage.
        generation: The number of the generation in training.
    """

    def __init__(self, directory: str | Path, generation: int):
        super().__init__()
        self._directory = Path(directory) / "profile" / f"generation-{generation}"
        self._calls = 0
        self._step: tf.profiler.experimental.Trace | None = None  # while a step is recorded

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Writes the graph of the student, if its inputs are fixed."""
        network: Any = getattr(self.model, "student", self.model)
        inputs = getattr(network, "inputs", None)
        if not inputs:
            return
        call = tf.function(
            lambda *given: network(list(given) if len(given) > 1 else given[0]), autograph=False
        )
        traced = call.get_concrete_function(
            *(tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name) for tensor in inputs)
        )
        with _writing(self._directory):
            event_files.clear(self._directory)
            writer = tf.summary.create_file_writer(str(self._directory))
            with writer.as_default():
                tf.summary.graph(traced.graph)
            writer.close()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Starts the profile, and marks each step."""
        self._calls += 1
        if self._calls == _FIRST:
            tf.profiler.experimental.start(str(self._directory))
        if _FIRST <= self._calls <= _LAST:
            self._step = tf.profiler.experimental.Trace("train", step_num=self._calls, _r=1)
            self._step.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Ends the step, and after the last one the profile."""
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None
        if self._calls == _LAST:
            tf.profiler.experimental.stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Ends the profile if the training was shorter."""
        if _FIRST <= self._calls < _LAST:
            tf.profiler.experimental.stop()


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Converts TensorFlow I/O errors to `SaveError`, as those of Python."""
    with convert_os_errors(directory):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message.partition("\n")[0].rpartition("; ")[2]) from error
