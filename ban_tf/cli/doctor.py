"""`ban-tf doctor`: what is installed here, what this machine has, and what is missing.

Nothing that may be broken is imported at the top, and what needs no TensorFlow is printed first:
should TensorFlow abort the process when it is imported, all the rest has been shown.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import flags

import ban_tf
from ban_tf.cli import common as command
from ban_tf.errors import InputError
from ban_tf.system import hardware, shown

NAME = "ban-tf doctor"
USAGE = """ban-tf doctor

Prints versions, cores, free memory and disk, what is installed of each extra and the command that
installs what is missing, devices, and the precision that is fast here. Needs no working TensorFlow.
"""

# The requirements of each extra, as in setup.cfg.
EXTRAS = {
    "gpu": ("tensorflow[and-cuda]>=2.21",),
    "jax": ("jax>=0.5",),
    "hub": ("keras-hub>=0.25",),
    "onnx": ("onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.16"),
    "litert": ("ai-edge-litert>=1.2",),
}
# Distributions that all install the module `tensorflow`.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tensorflow-intel")
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
_LONGEST = 200  # characters of an error


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work)


def _work(values: flags.FlagValues, positional: list[str]) -> None:
    if positional:
        raise InputError(f"it takes no arguments. Received: {' '.join(positional)}")
    for name, text in findings():
        print(f"{name:<14}{text}", flush=True)


def findings() -> Iterator[tuple[str, str]]:
    """Yields names and descriptions, one for each line; those that import TensorFlow last."""
    yield "Python", f"{platform.python_version()}, {platform.system()} on {platform.machine()}"
    yield "ban_tf", ban_tf.__version__
    yield "TensorFlow", _version(_TENSORFLOW) or "not installed: pip install tensorflow"
    yield "Keras", _version(("keras", "keras-nightly")) or "not installed: pip install keras"
    yield "NumPy", _version(("numpy",)) or "not installed: pip install numpy"
    yield "cores", f"{hardware.usable_cores()} usable of {os.cpu_count()}"
    yield "threads", _threads()
    yield "memory", _attempt(_memory)
    yield "disk", _attempt(_disk)
    for extra, requirements in EXTRAS.items():
        yield f"extra {extra}", describe_extra(requirements)
    yield "backend", _attempt(_backend)
    yield "devices", _attempt(_devices)
    yield "precision", _attempt(_precision)


def describe_extra(requirements: Iterable[str]) -> str:
    """Returns what is installed of some requirements, and how to install the rest.

    Args:
        requirements: As in setup.cfg, such as "onnx>=1.16".
    """
    there, missing = [], []
    for requirement in requirements:
        absent = [name for name in _distributions(requirement) if not _version((name,))]
        if absent:
            missing.append(requirement)
        else:
            name = re.split(r"[\[<>=]", requirement)[0]
            there.append(f"{name} {_version((name,))}")
    if not missing:
        return ", ".join(there)
    names = " ".join(f'"{requirement}"' for requirement in missing)
    return "; ".join([*there, f"missing: pip install {names}"])


def _distributions(requirement: str) -> list[str]:
    """Returns the names of the distributions of a requirement, with those of its own extra."""
    name, extra = re.fullmatch(r"([\w-]+)(?:\[([\w-]+)\])?.*", requirement).groups()  # type: ignore[union-attr]
    if not extra:
        return [name]
    try:
        further = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return [name]
    marked = re.compile(rf"""([\w.-]+).*;.*\bextra == ["']{extra}["']""")
    return [name, *(found[1] for line in further if (found := marked.match(line)))]


def _version(names: Iterable[str]) -> str:
    """Returns the version of the first of some distributions that is installed; else ""."""
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _threads() -> str:
    given = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    return ", ".join(given) or "one for each usable core; --threads=N takes another number"


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"


def _disk() -> str:
    disk = shutil.disk_usage(".")
    return f"{disk.free / 2**30:.1f} GiB free of {disk.total / 2**30:.1f}, in this folder"


def _backend() -> str:
    command.import_backend()
    import keras

    return f"{keras.backend.backend()}, of Keras {keras.__version__}"


def _devices() -> str:
    command.import_backend()
    import keras

    if keras.backend.backend() != "tensorflow":
        from ban_tf.system import devices

        return ", ".join(["CPU", *devices.accelerators()])
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name")
        found.append(f"{device.device_type} ({name})" if name else device.device_type)
    return ", ".join(found)


def _precision() -> str:
    command.import_backend()
    from ban_tf.training import precision

    choice = precision.choose()
    flag = "" if choice.policy == "float32" else "; --precision=auto takes it"
    return f"{choice.policy}: {choice.reason}{flag}"


def _attempt(describe: Callable[[], str]) -> str:
    """Returns a description, or in one line why there is none."""
    try:
        return describe()
    except Exception as error:  # a broken installation raises anything
        cause: BaseException = error
        # TensorFlow repeats the traceback of what went wrong in the text of its own error.
        while str(cause).startswith("Traceback") and cause.__context__ is not None:
            cause = cause.__context__
        text = shown.escaped(" ".join(str(cause).split()))[:_LONGEST]
        return f"unknown; {type(cause).__name__}: {text}"
