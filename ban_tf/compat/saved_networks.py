"""The network within a `.keras` file whose other layers need TensorFlow: those that take text."""

from __future__ import annotations

import io
import json
import pathlib
import tempfile
import zipfile
from typing import Any

import h5py
import keras

_NEED_TENSORFLOW = ("StringLookup", "TextVectorization")
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


def loadable(content: bytes) -> bytes:
    """Returns a `.keras` file that the present backend can load.

    Args:
        content: A `.keras` file.

    Returns:
        `content`; if the backend is not TensorFlow and a layer needs it, the file of the one
        network among the layers that does not, if there is exactly one.
    """
    if keras.backend.backend() == "tensorflow":
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files[_CONFIG])
    if not _needs_tensorflow(config):
        return content
    networks = [
        layer
        for layer in config["config"].get("layers", ())
        if "layers" in layer["config"] and not _needs_tensorflow(layer)
    ]
    if len(networks) != 1:
        return content
    (network,) = networks
    weights = _weights_of(files[_WEIGHTS], network["config"]["name"])
    files = {**files, _CONFIG: json.dumps(network).encode(), _WEIGHTS: weights}
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name in ("metadata.json", _CONFIG, _WEIGHTS):
            archive.writestr(name, files[name])
    return found.getvalue()


def load(path: pathlib.Path) -> keras.Model:
    """Loads what the present backend can load of a file, with Keras's safe mode on.

    Args:
        path: A `.keras` file, or another one that Keras reads.
    """
    if path.suffix == ".keras":
        content = path.read_bytes()
        found = loadable(content)
        if found is not content:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "network.keras"
                path.write_bytes(found)
                return keras.models.load_model(path, compile=False, safe_mode=True)
    return keras.models.load_model(path, compile=False, safe_mode=True)


def _needs_tensorflow(config: Any) -> bool:
    if isinstance(config, dict):
        named = config.get("class_name") in _NEED_TENSORFLOW
        return named or any(map(_needs_tensorflow, config.values()))
    return isinstance(config, list) and any(map(_needs_tensorflow, config))


def _weights_of(content: bytes, name: str) -> bytes:
    """Returns the weights of one layer of a model as those of a model of its own."""
    found = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as whole, h5py.File(found, "w") as own:
        for layer in whole["layers"].values():
            if layer["vars"].attrs.get("name") == name:
                for key in layer:
                    whole.copy(layer[key], own, key)
    return found.getvalue()
