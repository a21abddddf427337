"""TensorBoard's event files: written anew as a whole, and what a full disk means for them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from ban_tf.system.files import convert_os_errors


def fresh_writer(directory: pathlib.Path) -> tf.summary.SummaryWriter:
    """Returns a writer into a directory that holds no other events."""
    for events in directory.glob("events.out.tfevents.*"):
        events.unlink()
    return tf.summary.create_file_writer(str(directory))


@contextlib.contextmanager
def writing(directory: pathlib.Path) -> Iterator[None]:
    """Has a disk that is full or refuses mean to TensorFlow what it means to all others.

    Raises:
        SaveError: The disk is full or refuses.
    """
    with convert_os_errors(directory):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(error.message.partition("\n")[0].rpartition("; ")[2]) from error
