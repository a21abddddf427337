"""`--precision=auto`: the fastest precision that trains as well as float32.

bfloat16 only helps on hardware that computes in it: a processor without such instructions
emulates it, many times slower than float32. The hardware's feature flags decide if they are
conclusive; otherwise one small training step is timed both ways. float16 is never chosen: it
needs loss scaling, and gains nothing over bfloat16 where both are fast.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ban_tf.compat import compiled
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import devices, hardware

# Below this fraction of float32's time, bfloat16 is chosen.
WORTHWHILE = 0.8
_STEPS = 5


class Choice(NamedTuple):
    """A dtype policy, and the reason for it."""

    policy: str
    reason: str


@contextlib.contextmanager
def put_back() -> Iterator[None]:
    """Puts Keras's dtype policy back at the end, as networks that are built next expect it."""
    before = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def for_run(wanted: str, directory: RunDirectory, flag: str = "precision") -> str:
    """Returns the dtype policy of a run; a choice of "auto" is kept, also on another machine.

    Args:
        wanted: A dtype policy, or "auto".
        directory: The run, in which the choice is recorded.
        flag: The name of the flag.
    """
    if wanted != "auto":
        return wanted
    chosen = directory.metadata.get(flag)
    if chosen is None:
        choice = choose()
        print(f"--{flag}=auto means {choice.policy}: {choice.reason}.")
        chosen = choice.policy
        directory.commit(metadata={flag: chosen})
    return chosen


def for_teachers(wanted: str, directory: RunDirectory) -> str | None:
    """Returns the dtype policy of `--teacher_precision`; None for the student's."""
    return None if wanted == "same" else for_run(wanted, directory, "teacher_precision")


def choose() -> Choice:
    """Returns the precision for this machine's hardware."""
    graphics = devices.graphics()
    if graphics:
        return from_compute_capability(graphics)
    if keras.backend.backend() != "tensorflow":
        return from_ratio(calibrate())  # what it makes of these instructions is not known
    return from_processor(hardware.processor_flags()) or from_ratio(calibrate())


def from_compute_capability(capabilities: Iterable[tuple[int, int] | None]) -> Choice:
    """Chooses for GPUs: all of them must have tensor cores for bfloat16.

    Args:
        capabilities: Compute capability of each; None if unknown.
    """
    lowest = min((capability or (0, 0) for capability in capabilities), default=(0, 0))
    version = ".".join(map(str, lowest))
    if lowest >= (8, 0):
        return Choice("mixed_bfloat16", f"GPUs of compute capability {version} run it fast")
    return Choice("float32", f"bfloat16 needs compute capability 8.0; the GPU's is {version}")


def from_processor(flags: set[str]) -> Choice | None:
    """Chooses by a processor's instructions; returns None if they are not conclusive.

    Args:
        flags: Feature flags of the kernel; empty if unknown.
    """
    if "amx_bf16" in flags:
        return Choice("mixed_bfloat16", "the processor has AMX for it")
    if flags and not flags & {"avx512_bf16", "avx_ne_convert", "bf16", "svebf16"}:
        return Choice("float32", "the processor has no instructions for bfloat16")
    return None


def from_ratio(ratio: float) -> Choice:
    """Chooses by measurement.

    Args:
        ratio: Time of a step in bfloat16 over that in float32.
    """
    policy = "mixed_bfloat16" if ratio < WORTHWHILE else "float32"
    return Choice(policy, f"a small step in bfloat16 takes {ratio:.2f} of the time in float32")


def calibrate() -> float:
    """Times a convolution with its gradients in both precisions; takes about a second.

    Returns:
        The median of bfloat16's time over float32's.
    """
    steps = [_small_step(dtype) for dtype in ("bfloat16", "float32")]
    seconds = np.array([[_timed(step) for step in steps] for _ in range(_STEPS + 1)])[1:]
    return float(np.median(seconds[:, 0] / seconds[:, 1]))


def _small_step(dtype: str) -> Callable[[], Any]:
    """Returns a function that runs a step, and waits for it."""
    generator = keras.random.SeedGenerator(0)
    images = ops.cast(keras.random.normal((16, 16, 16, 64), seed=generator), dtype)
    kernel = keras.random.normal((3, 3, 64, 64), seed=generator)

    def loss(images: Any, kernel: Any) -> Any:
        outputs = ops.relu(ops.conv(images, ops.cast(kernel, dtype), 1, "same"))
        return ops.sum(ops.cast(outputs, "float32"))

    gradients = compiled.gradients(loss)
    return lambda: [float(ops.sum(ops.cast(part, "float32"))) for part in gradients(images, kernel)]


def _timed(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
