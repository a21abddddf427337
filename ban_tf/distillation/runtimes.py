"""Teachers in files of other runtimes, as functions of a NumPy batch.

Each runtime is imported when a file needs it, and is no dependency of this package.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import shown

Function = Callable[[Any], np.ndarray]


def load(path: str | os.PathLike) -> Function | None:
    """Returns the function of a file or folder of another runtime than Keras; None if it is none.

    Args:
        path: `FILE.onnx`, a TorchScript file (`.pt`, `.ts`, `.torchscript`), a program of
            `torch.export` (`.pt2`), or the folder of a SavedModel.

    Returns:
        A function of a NumPy batch. Its `input_shape` is the shape of an example, with None for
        sides that vary; or None, where the file does not describe it.

    Raises:
        InputError: It does not exist, its runtime is not installed, or cannot read it.
    """
    path = pathlib.Path(path)
    reader = _READERS.get(path.suffix.lower())
    if path.is_dir() and (path / "saved_model.pb").is_file():
        reader = saved_model
    if reader is None:
        return None
    if not path.exists():
        raise InputError(f"`teacher` names a file that does not exist: {path}.")
    try:
        function = reader(path)
    except InputError:
        raise
    except Exception as error:  # of any class: each runtime has its own
        raise InputError(f"{path} could not be read: {shown.first_line(error)}") from error

    def run(batch: Any) -> np.ndarray:
        try:
            return function(batch)
        except Exception as error:
            shape = tuple(getattr(batch, "shape", ()))
            raise InputError(
                f"{path} could not run on a batch of shape {shape} ({shown.first_line(error)}); "
                "ban_tf.adapt_teacher feeds a teacher of another size, pixels or order of axes."
            ) from error

    run.input_shape = getattr(function, "input_shape", None)  # type: ignore[attr-defined]
    return run


def onnx(path: pathlib.Path) -> Function:
    """Returns a function that runs an ONNX file with one input; its first output counts."""
    session = _imported("onnxruntime", path, "onnxruntime").InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise InputError(f"{path} has {len(inputs)} inputs; a teacher must have one.")
    name, dtype = inputs[0].name, _DTYPES.get(inputs[0].type, np.float32)

    def run(batch: Any) -> np.ndarray:
        return session.run([outputs[0].name], {name: np.asarray(batch, dtype)})[0]

    return _shaped(run, inputs[0].shape)


_DTYPES = {
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def torchscript(path: pathlib.Path) -> Function:
    """Returns a function that runs a TorchScript file in inference mode, on the CPU."""
    torch = _imported("torch", path, "torch")
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:  # of many lines about damaged archives
        raise InputError(
            f"{path} holds no TorchScript, as torch.jit.trace(network, batch).save(path) writes; "
            "a network that was saved otherwise teaches as a function, or by `ban_tf.record`."
        ) from error
    return _of_torch(torch, network)


def torch_export(path: pathlib.Path) -> Function:
    """Returns a function that runs a program of `torch.export`, on the CPU."""
    torch = _imported("torch", path, "torch")
    with _without_triton():
        program = torch.export.load(str(path))
        function = _of_torch(torch, program.module())
    given, _ = program.example_inputs or ((), {})
    return _shaped(function, given[0].shape) if given else function


@contextlib.contextmanager
def _without_triton() -> Iterator[None]:
    """Hides Triton from PyTorch: if it is imported after TensorFlow, the process crashes."""
    hidden = "tensorflow" in sys.modules and "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["triton"]


def _of_torch(torch: Any, network: Any) -> Function:
    own = next((one.dtype for one in network.parameters() if one.is_floating_point()), None)

    def run(batch: Any) -> np.ndarray:
        given = torch.from_numpy(np.array(batch))  # a copy: NumPy's array may be read-only
        if given.is_floating_point() or given.dtype == torch.uint8:  # pixels, but no tokens
            given = given.to(own or torch.float32)
        try:
            with torch.inference_mode():
                found = network(given)
        except RuntimeError as error:  # which starts with a traceback
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"`teacher` cannot take a batch of shape {tuple(given.shape)}: {reason}"
            ) from error
        if not isinstance(found, torch.Tensor):
            raise InputError(
                f"`teacher` must return a tensor of logits; it returned a {type(found).__name__}."
            )
        return found.float().numpy()

    return run


def saved_model(path: pathlib.Path) -> Function:
    """Returns a function that runs the signature of a SavedModel; its first output counts."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    known = sorted(loaded.signatures)
    if not known:
        raise InputError(f"{path} has no signature to serve; save it with model.export(path).")
    name = "serving_default" if "serving_default" in known else known[0]
    signature = loaded.signatures[name]
    wanted = list(signature.structured_input_signature[1].values())
    if len(wanted) != 1:
        raise InputError(f"{path} has {len(wanted)} inputs; a teacher must have one.")

    def run(batch: Any) -> np.ndarray:
        found = signature(**{wanted[0].name: tf.cast(batch, wanted[0].dtype)})
        return found[sorted(found)[0]].numpy()

    run.loaded = loaded  # type: ignore[attr-defined]  # which else forgets its variables
    return _shaped(run, wanted[0].shape)


def _shaped(function: Function, shape: Any) -> Function:
    """Returns a function that has the shape of an example, from that of a batch."""
    sides = [side if isinstance(side, int) else None for side in shape]
    function.input_shape = tuple(sides[1:])  # type: ignore[attr-defined]
    return function


_READERS: dict[str, Callable[[pathlib.Path], Function]] = {
    ".onnx": onnx,
    ".pt": torchscript,
    ".pt2": torch_export,
    ".ts": torchscript,
    ".torchscript": torchscript,
}


def _imported(module: str, path: pathlib.Path, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"`teacher` {path} needs {package}, which is not installed: pip install {package}. Or "
            "record its outputs where it is, with `ban_tf.record`."
        ) from error
