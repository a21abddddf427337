"""Reads a run's `.keras` files, which may be damaged or made to do harm."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf.compat import keras_private, saved_networks
from ban_tf.errors import CorruptFileError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import archives, shown
from ban_tf.system.files import convert_os_errors


def load(directory: RunDirectory, file: str) -> keras.Model:
    """Loads a model.

    Without TensorFlow, of one that takes text only the network within; see `saved_networks`.

    Raises:
        CorruptFileError: The file is damaged, or is no model.
    """
    content, name = directory.read(file), directory.path / file
    config = archives.check_keras(content, name)
    loadable = saved_networks.loadable(content)
    if loadable is not content:
        content, config = loadable, archives.check_keras(loadable, name)
    # Before Keras allocates them: each of these numbers is in the file, too.
    if keras_private.count_numbers(config) > archives.most_unpacked(len(content)):
        raise CorruptFileError(
            f"{name} has {len(content):,} bytes and describes a network of more weights."
        )
    model = _read(
        content,
        lambda path: keras.models.load_model(path, compile=False, safe_mode=True),
        f"{name} could not be read as a Keras model",
    )
    _check_finite(model, name)
    return model


def load_weights(model: keras.Model, directory: RunDirectory, file: str) -> None:
    """Loads only the weights of a file: custom classes need not be registered.

    Raises:
        CorruptFileError: The file is damaged, or is not that of such a model.
    """
    content, name = directory.read(file), directory.path / file
    archives.check_keras(content, name)
    _read(content, model.load_weights, f"{name} does not hold the weights of this network")
    _check_finite(model, name)


def _read(content: bytes, read: Callable[[pathlib.Path], Any], problem: str) -> Any:
    """Returns what a function of Keras reads from a file of this content."""
    with convert_os_errors(tempfile.gettempdir()), tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            return read(path)
        except Exception as error:  # Keras and h5py raise many kinds
            raise CorruptFileError(f"{problem}: {shown.first_line(error)}") from error


def _check_finite(model: keras.Model, name: pathlib.Path) -> None:
    weights = (array for array in model.get_weights() if array.dtype.kind == "f")
    if not all(np.isfinite(array).all() for array in weights):
        raise CorruptFileError(f"{name} has a weight that is NaN or infinite.")
