"""Writes TensorBoard event files from scratch, and converts TensorFlow's disk errors."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from ban_tf.system import safe_files
from ban_tf.system.files import convert_os_errors


def fresh_writer(directory: pathlib.Path) -> tf.summary.SummaryWriter:
    """Deletes the events in a directory, and returns a new writer.

    Raises:
        OSError: The directory is a link to another place, or cannot be written.
    """
    safe_files.check_inside(directory, directory.parent)
    for events in directory.glob("events.out.tfevents.*"):
        events.unlink()
    return tf.summary.create_file_writer(str(directory))


@contextlib.contextmanager
def writing(directory: pathlib.Path) -> Iterator[None]:
    """Converts TensorFlow I/O errors to `SaveError`.

    Raises:
        SaveError: The disk is full or cannot be written.
    """
    with convert_os_errors(directory):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message.partition("\n")[0].rpartition("; ")[2]) from error
