"""Writes TensorBoard event files from scratch, without TensorFlow."""

from __future__ import annotations

import itertools
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ban_tf.system import safe_files

_counter = itertools.count()  # two writers of a process may start in the same second


def clear(directory: pathlib.Path) -> None:
    """Creates a directory, or deletes the events in it.

    Raises:
        OSError: The directory is a link to another place, or cannot be written.
    """
    safe_files.check_inside(directory, directory.parent)
    directory.mkdir(parents=True, exist_ok=True)
    for events in directory.glob("events.out.tfevents.*"):
        events.unlink()


class Writer:
    """Writes the events of one run of TensorBoard, in place of those that it had.

    Args:
        directory: The run's directory.

    Raises:
        OSError: The directory is a link to another place, or cannot be written.
    """

    def __init__(self, directory: pathlib.Path):
        from tensorboard.summary.writer.record_writer import RecordWriter

        clear(directory)
        name = f"events.out.tfevents.{int(time.time())}.{os.getpid()}.{next(_counter)}.v2"
        self._file = RecordWriter((directory / name).open("xb"))
        self._write(file_version="brain.Event:2")

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Adds a point of a curve."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        self._write(step=step, summary=scalar_pb(tag, value))

    def text(self, tag: str, text: str, step: int = 0) -> None:
        """Adds a text, in Markdown."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(step=step, summary=text_pb(tag, text))

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Adds a histogram of values."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._write(step=step, summary=histogram_pb(tag, values))

    def image(self, tag: str, png: bytes, size: tuple[int, int], step: int) -> None:
        """Adds an image.

        Args:
            tag: The tag.
            png: The image, encoded.
            size: Its width and height.
            step: The step.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.image import metadata
        from tensorboard.util import tensor_util

        words = np.array([*(str(number).encode() for number in size), png], dtype=object)
        summary = Summary()
        summary.value.add(
            tag=tag,
            tensor=tensor_util.make_tensor_proto(words),
            metadata=metadata.create_summary_metadata(display_name=None, description=None),
        )
        self._write(step=step, summary=summary)

    def settings(self, values: Mapping[str, Any], name: str | None) -> None:
        """Adds the row of the HParams tab.

        Args:
            values: Booleans, numbers and strings by name.
            name: The name of the row; a hash of the values by default.
        """
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._write(step=0, summary=hparams_pb(dict(values), trial_id=name))

    def flush(self) -> None:
        """Passes all events on to the file system."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        if not self._file.closed:
            self._file.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.write(Event(wall_time=time.time(), **fields).SerializeToString())
