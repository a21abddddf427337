"""`ban-tf export --quantize`: a quantized file beside the float one, both measured on test data."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.cli import common as command
from ban_tf.runs import litert

if TYPE_CHECKING:
    from ban_tf.tasks.task import ServedData


def write(
    convert: Callable[..., None],
    kind: str,
    data: ServedData,
    manifest: dict[str, Any],
    path: pathlib.Path,
) -> None:
    """Writes a quantized file, and notes in the manifest how it compares with the float one.

    Args:
        convert: Writes the model to a path, given arguments of Keras's exporter.
        kind: One of `litert.KINDS`.
        data: Calibrates and measures.
        manifest: Gets an entry "quantization", without a file's name.
        path: The file; the float one is written beside it.

    Raises:
        InputError: LiteRT is not installed, or cannot run the files.
    """
    litert.interpreter_class()  # before the minutes that a conversion may take
    float_file = path.with_name("float.tflite")
    convert(float_file)
    with command.silenced():
        convert(path, **litert.converter_options(kind, data.training))
        before, found = litert.measure(float_file, data.test(), data.labels)
        after, others = litert.measure(path, data.test(), data.labels)
    of_numbers = data.labels.dtype.kind == "f"
    changed = np.abs(found - others) if of_numbers else found != others
    manifest["quantization"] = {
        "kind": kind,
        "metric": "rmse" if of_numbers else "error",
        "calibration_examples": len(data.training) if kind == "int8" else 0,
        "test_examples": len(data.labels),
        "changed": float(np.mean(changed)),
        "float32": dataclasses.asdict(before),
        "quantized": dataclasses.asdict(after),
    }


def table(measured: Mapping[str, Any]) -> str:
    """Returns the two files as a table for the screen.

    Args:
        measured: The manifest's entry "quantization".
    """
    of_numbers = measured.get("metric") == "rmse"
    lines = [
        f"{'':8}{'test RMSE' if of_numbers else 'test error':>12}{'size':>12}{'one image':>14}"
    ]
    for name, row in (
        ("float32", measured["float32"]),
        (measured["kind"], measured["quantized"]),
    ):
        error = f"{row['error']:12.4g}" if of_numbers else f"{100 * row['error']:10.2f} %"
        lines.append(f"{name:8}{error}{row['bytes'] / 1000:9,.0f} kB{row['milliseconds']:11.3f} ms")
    changed = (
        f"The numbers of {measured['test_examples']:,} test images change by "
        f"{measured['changed']:.4g} on average."
        if of_numbers
        else f"{100 * measured['changed']:.2f} % of {measured['test_examples']:,} test images get "
        "another class."
    )
    return "\n".join([*lines, f"{changed} Times are of one thread of this machine."])
