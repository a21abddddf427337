"""LiteRT files: how a model is quantized, and what a file costs and gets right.

`int8` stores weights and computes in 8-bit integers, whose ranges are those of calibration images
(post-training quantization; Jacob et al., 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference"); an operation that has no integer form stays in
float32, and so do inputs and outputs. `float16` stores weights in half precision.
"""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import timing

KINDS = ("int8", "float16")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a file costs and gets right.

    Attributes:
        error: The fraction of test examples that it gets wrong; of numbers, the RMSE.
        bytes: Its size.
        milliseconds: The shortest time for one example, on one thread of this machine.
    """

    error: float
    bytes: int
    milliseconds: float


def converter_options(kind: str, examples: np.ndarray) -> dict[str, Any]:
    """Returns the arguments of Keras's exporter that quantize.

    Args:
        kind: One of `KINDS`.
        examples: Training examples as the model takes them, which show the range of each tensor.
    """
    import tensorflow as tf

    options: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if kind == "float16":
        return {**options, "target_spec": {"supported_types": [tf.float16]}}

    def one_by_one() -> Iterator[list[np.ndarray]]:
        for index in range(len(examples)):
            yield [examples[index : index + 1]]

    return {**options, "representative_dataset": one_by_one}


def measure(
    path: pathlib.Path, batches: Iterable[np.ndarray], labels: np.ndarray
) -> tuple[Measured, np.ndarray]:
    """Runs a file on test data.

    Args:
        path: The file.
        batches: The test examples, as the model takes them.
        labels: Their true classes, integers `[examples]`; or numbers, floats.

    Returns:
        The measurements, and the predicted classes or numbers, `[examples]`.

    Raises:
        InputError: No LiteRT runtime is installed, or it cannot run the file.
    """
    interpreter = interpreter_class()(str(path), num_threads=1)
    entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def load(examples: np.ndarray) -> None:
        interpreter.resize_tensor_input(entry["index"], examples.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], examples)

    predicted, of_numbers = [], labels.dtype.kind == "f"
    try:
        for examples in batches:
            load(examples)
            interpreter.invoke()
            outputs = interpreter.get_tensor(end["index"])
            predicted.append(outputs[:, 0] if of_numbers else outputs.argmax(axis=-1))
        load(examples[:1])
        milliseconds = timing.shortest_milliseconds(interpreter.invoke)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"The installed LiteRT cannot run {path.name}: {reason}") from error
    found = np.concatenate(predicted)
    wrong = np.square(found - labels) if of_numbers else found != labels
    missed = float(np.mean(wrong) ** 0.5 if of_numbers else np.mean(wrong))
    return Measured(missed, path.stat().st_size, milliseconds), found


def interpreter_class() -> Any:
    """Returns the interpreter of LiteRT, or TensorFlow's own of the same runtime.

    Raises:
        InputError: Neither is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        if not hasattr(tf.lite, "Interpreter"):
            raise InputError(
                "--quantize measures the error with LiteRT, which is not installed: "
                'pip install "ban_tf[litert]".'
            ) from None
        return _of_tensorflow
    return Interpreter


def _of_tensorflow(*arguments: Any, **options: Any) -> Any:
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will move to LiteRT
        return tf.lite.Interpreter(*arguments, **options)
