"""`ban-tf export RUN --to=FORMAT`: a generation or the ensemble, for use elsewhere.

Keras's own exporters do the work. Beside the model goes a manifest: its classes or its vocabulary,
what goes in, what comes out, and how images are to be prepared.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

from absl import flags

from ban_tf.cli import common as command
from ban_tf.config import registry
from ban_tf.errors import InputError
from ban_tf.runs import reading
from ban_tf.system.files import write_atomically

NAME = "ban-tf export"
USAGE = """ban-tf export RUN --to=saved_model|keras|litert|onnx [flags]

Exports the ensemble of a run, or one generation, with a manifest of classes (or of the vocabulary)
and preprocessing.
"""

# For each format: what a file of it is called, and what it needs beside TensorFlow.
FORMATS = {"saved_model": "", "keras": ".keras", "litert": ".tflite", "onnx": ".onnx"}
_KERAS_NAMES = {"saved_model": "tf_saved_model", "litert": "litert", "onnx": "onnx"}
_NEEDED = {"onnx": ("tf2onnx", "onnx")}


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def export(
    run: reading.RunReader,
    to: str,
    which: str = "ensemble",
    output: str | pathlib.Path | None = None,
    preprocessing: bool = False,
) -> pathlib.Path:
    """Exports a model of a run.

    Args:
        run: The run.
        to: One of `FORMATS`.
        which: "ensemble", or the number of a generation.
        output: Where to; `RUN/export/<name>` by default. Replaced if it exists.
        preprocessing: Whether the model takes uint8 images and gives class probabilities,
            instead of taking normalized images and giving what it was trained to give. Of a run on
            text it takes lines of text, strings, and gives probabilities of the next word, instead
            of taking numbers of words.

    Returns:
        The path of the model; `<path>.json` is its manifest.

    Raises:
        InputError: There is no such model, or a package that the format needs is not there.
    """
    name = which if which == "ensemble" else f"generation-{which}"
    path = pathlib.Path(output or run.path / "export" / f"{name}-{to}{FORMATS[to]}")
    _check_output(path, to)
    missing = [each for each in _NEEDED.get(to, ()) if importlib.util.find_spec(each) is None]
    if missing:
        raise InputError(
            f"--to={to} needs {' and '.join(missing)}, which is not installed: "
            f'pip install "ban_tf[{to}]".'
        )
    task = registry.of(reading.settings(run).get("dataset", ""))
    command.import_tensorflow()
    model, described = task.load().served(run, which, preprocessing, to)
    manifest = {"run": str(run.path), "model": name.replace("-", " "), "format": to, **described}
    _write(model, to, path)
    write_atomically(
        path.with_name(path.name + ".json"), (json.dumps(manifest, indent=1) + "\n").encode()
    )
    return path


def _check_output(path: pathlib.Path, to: str) -> None:
    """Refuses a path before anything is loaded for it."""
    if path.suffix != FORMATS[to] and FORMATS[to]:
        raise InputError(f"--output={path} must end in {FORMATS[to]} for --to={to}.")
    if path.is_dir() and (to != "saved_model" or not (path / "saved_model.pb").exists()):
        raise InputError(f"--output={path} is a folder that holds something else.")


def _write(model: Any, to: str, path: pathlib.Path) -> None:
    import keras

    if path.is_dir():
        shutil.rmtree(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if to == "keras":
            model.save(path)
        else:
            # Exporters of a loaded model ask to be told what it takes.
            signature = [keras.InputSpec(shape=model.input_shape, dtype=model.inputs[0].dtype)]
            model.export(path, format=_KERAS_NAMES[to], input_signature=signature, verbose=False)
    except OSError as error:
        raise InputError(f"--output={path} cannot be written ({error.strerror}).") from error


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("to", None, list(FORMATS), "The format.", required=True, flag_values=values)
    flags.DEFINE_string(
        "model", "ensemble", "ensemble, or the number of a generation.", flag_values=values
    )
    flags.DEFINE_string("output", None, "Where to; RUN/export/... by default.", flag_values=values)
    flags.DEFINE_bool(
        "preprocessing",
        False,
        "Take raw uint8 images in (of a run on text, strings), give probabilities out.",
        flag_values=values,
    )


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if len(names) != 1:
        raise InputError("name one run, such as runs/digits-wrn-16-1-kd+labels-0.")
    path = export(
        reading.RunReader(names[0]),
        values.to,
        values.model,
        values.output,
        values.preprocessing,
    )
    print(path)
    print(f"{path}.json")
