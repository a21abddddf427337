"""`ban-tf export RUN --to=FORMAT`: exports a generation or the ensemble.

Uses Keras's exporters. A manifest is written next to the model: classes or vocabulary, inputs,
outputs, and the preprocessing of images. With `--quantize`, what quantization costs is measured on
the test images of the run before the model is moved to its place.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from ban_tf.cli import common as command
from ban_tf.cli import quantized
from ban_tf.config import registry
from ban_tf.errors import InputError
from ban_tf.runs import litert, outputs, preferred, reading
from ban_tf.system import safe_files, shown
from ban_tf.system.files import temporary_folder, write_atomically

NAME = "ban-tf export"
USAGE = """ban-tf export RUN --to=saved_model|keras|litert|onnx [flags]

Exports the ensemble of a run, or one generation, with a manifest of classes (or of the vocabulary)
and preprocessing; by default the model that validation prefers. --quantize makes files for phones
(LiteRT) smaller, of runs on images of one class or one number each; int8 is calibrated on training
images of the run. Error, size and time of the float and the quantized file are printed, and kept in
the manifest.
"""

# For each format: its file extension, and the packages that it needs besides TensorFlow.
FORMATS = {"saved_model": "", "keras": ".keras", "litert": ".tflite", "onnx": ".onnx"}
_KERAS_NAMES = {"saved_model": "tf_saved_model", "litert": "litert", "onnx": "onnx"}
_NEEDED = {"onnx": ("tf2onnx", "onnx")}


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def export(
    run: reading.RunReader,
    to: str,
    which: str = "ensemble",
    output: str | pathlib.Path | None = None,
    preprocessing: bool = False,
    quantize: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
) -> pathlib.Path:
    """Exports a model of a run.

    Args:
        run: The run.
        to: One of `FORMATS`.
        which: "ensemble", or the number of a generation.
        output: The output path; `RUN/export/<name>` by default. Replaced if it exists.
        preprocessing: Whether the model takes uint8 images and returns class probabilities,
            instead of taking normalized images and returning its own outputs. For a run on text
            it takes lines of text, strings, and returns probabilities of the next word, instead
            of taking word indices.
        quantize: One of `litert.KINDS`, for `to="litert"`; None writes float32, for runs of
            any precision.
        dataset: Where the data of the run is now, for `quantize`; by default as recorded.
        data_dir: The directory of TFDS data, likewise.

    Returns:
        The path of the model; `<path>.json` is its manifest.

    Raises:
        InputError: The model does not exist, a package that the format needs is missing, or the
            format or the data of the run does not allow to quantize.
    """
    name = which if which == "ensemble" else f"generation-{which}"
    kind = f"{to}-{quantize}" if quantize else to
    path = pathlib.Path(output or run.path / "export" / f"{name}-{kind}{FORMATS[to]}")
    _check_quantize(to, quantize, dataset=dataset, data_dir=data_dir)
    if not output:
        _check_inside(path, run.path)
    _check_output(path, to)
    missing = [name for name in _NEEDED.get(to, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--to={to} needs {' and '.join(missing)}, which is not installed: "
            f'pip install "ban_tf[{to}]".'
        )
    command.import_backend()
    _check_backend(to)
    task = registry.of_settings(reading.settings(run)).load()
    model, described = task.served(run, which, preprocessing, to)
    if to == "litert":
        model, described = _for_litert(model, described, quantize)
    manifest = {"run": str(run.path), "model": name.replace("-", " "), "format": to, **described}
    write = functools.partial(_convert, model, to)
    if quantize:
        try:
            data = task.served_data(run, preprocessing, dataset, data_dir)
        except InputError as error:
            raise InputError(f"--quantize={quantize}: {error}") from error
        write = functools.partial(quantized.write, write, quantize, data, manifest)
    _write(write, path)
    try:
        write_atomically(_manifest_of(path), (json.dumps(manifest, indent=1) + "\n").encode())
    except OSError as error:
        raise InputError(f"{_manifest_of(path)} cannot be written ({error.strerror}).") from error
    return path


def _for_litert(
    model: Any, described: dict[str, Any], quantize: str | None
) -> tuple[Any, dict[str, Any]]:
    """Returns a model that LiteRT can run, and its description.

    LiteRT has no operators for bfloat16, and none for loops over a batch of unknown size.
    """
    from ban_tf.compat.full_precision import in_float32
    from ban_tf.compat.streams import one_at_a_time

    try:
        model = in_float32(model)
    except InputError as error:
        raise InputError(f"--to=litert needs the model in float32: {error}.") from error
    takes = described["input"]
    if not isinstance(takes, dict):
        return model, described
    try:
        single = one_at_a_time(model)
    except InputError as error:
        raise InputError(f"--to=litert needs the model for a batch of one: {error}.") from error
    if single is None:
        return model, described
    if quantize:
        raise InputError(
            f"--quantize={quantize} measures files in batches, and LiteRT takes one example at a "
            "time of networks with recurrent layers; leave it out."
        )
    return single, {**described, "input": {**takes, "shape": [1, *takes["shape"][1:]]}}


def _check_backend(to: str) -> None:
    """Checks that Keras's backend can write a format."""
    import keras

    backend = keras.backend.backend()
    if to != "keras" and backend != "tensorflow":
        raise InputError(
            f"--to={to} needs TensorFlow, and KERAS_BACKEND is {backend}; install TensorFlow and "
            "set KERAS_BACKEND=tensorflow, or use --to=keras."
        )


def _check_quantize(to: str, quantize: str | None, **data: str | None) -> None:
    """Checks that the format can be quantized, and that nothing is given for naught."""
    if quantize and to != "litert":
        raise InputError(
            f"--quantize={quantize} is for --to=litert; --to={to} keeps the precision of the run."
        )
    for name, value in data.items():
        if value and not quantize:
            raise InputError(
                f"--{name}={value} does nothing without --quantize, which alone reads data."
            )


def _manifest_of(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".json")


def _check_inside(path: pathlib.Path, root: pathlib.Path) -> None:
    try:
        safe_files.check_inside(path, root)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); use --output.") from error


def _check_output(path: pathlib.Path, to: str) -> None:
    """Checks the output path before anything is loaded."""
    if path.suffix != FORMATS[to] and FORMATS[to]:
        raise InputError(f"--output={path} must end in {FORMATS[to]} for --to={to}.")
    if path.is_dir() and (to != "saved_model" or not (path / "saved_model.pb").exists()):
        raise InputError(f"--output={path} is a folder that holds something else.")
    for file in (path, _manifest_of(path)):
        outputs.check_not_of_run(file, f"--output={path}")
    if not _may_be_replaced(_manifest_of(path)):
        raise InputError(
            f"--output={path} needs {_manifest_of(path)} for its manifest, which holds something "
            "else; choose another path."
        )


def _may_be_replaced(manifest: pathlib.Path) -> bool:
    """Returns whether nothing but the manifest of an earlier export is at a path."""
    if not os.path.lexists(manifest):
        return True
    try:
        earlier = json.loads(safe_files.read_below(manifest))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(earlier, dict) and earlier.get("format") in FORMATS


def _convert(model: Any, to: str, path: pathlib.Path, **options: Any) -> None:
    """Writes a model in a format; `options` are those of Keras's exporter."""
    import keras

    if to == "keras":
        model.save(path)
        return
    # Exporters need the input signature of a loaded model.
    inputs = keras.tree.map_structure(
        lambda tensor: keras.InputSpec(shape=tensor.shape, dtype=tensor.dtype),
        model.inputs[0] if len(model.inputs) == 1 else model.input,
    )
    model.export(path, format=_KERAS_NAMES[to], input_signature=[inputs], verbose=False, **options)


def _write(write: Callable[[pathlib.Path], None], path: pathlib.Path) -> None:
    """Writes the model beside its place, and then moves it there: a kill leaves no half of one."""
    try:
        with temporary_folder(path) as folder:
            written = folder / path.name
            write(written)
            if path.is_dir():
                path.rename(folder / "former")
            written.replace(path)
    except OSError as error:
        raise InputError(f"--output={path} cannot be written ({error.strerror}).") from error


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_enum("to", None, list(FORMATS), "The format.", required=True, flag_values=values)
    flags.DEFINE_string(
        "model",
        preferred.BEST,
        "ensemble, the number of a generation, or best: the one that validation prefers.",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "Output; RUN/export/... by default.", flag_values=values)
    flags.DEFINE_bool(
        "preprocessing",
        False,
        "Export with preprocessing: from uint8 images (or strings, for text, or the raw columns of "
        "a table) to probabilities, or numbers.",
        flag_values=values,
    )

    flags.DEFINE_enum(
        "quantize",
        None,
        litert.KINDS,
        "For --to=litert, of runs on images of one class or one number each: int8 computes in "
        "8-bit integers, calibrated on training images; float16 stores weights in half precision.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "dataset",
        None,
        "Where the data of the run is now, for --quantize; by default as recorded.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "data_dir", None, "The directory of TFDS data, for --quantize.", flag_values=values
    )


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if len(names) != 1:
        raise InputError("name one run, such as runs/digits-wrn-16-1-kd+labels-0.")
    run = reading.RunReader(names[0])
    which, reason = preferred.resolve(run, values.model)
    path = export(
        run,
        values.to,
        which,
        values.output,
        values.preprocessing,
        values.quantize,
        values.dataset,
        values.data_dir,
    )
    if reason:
        command.print_note(reason)
    print(shown.escaped(path))
    print(shown.escaped(_manifest_of(path)))
    if values.quantize:
        manifest = json.loads(_manifest_of(path).read_text(encoding="utf-8"))
        print(quantized.table(manifest["quantization"]))
