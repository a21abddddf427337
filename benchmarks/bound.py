"""What bounds a training step, how far from that bound it runs, and where its time goes.

Run as `python -m benchmarks.bound`. The arithmetic of all convolutions and dense layers, forward
and backward, is held against the speed of one large matrix product; what every layer reads and
writes at least, against the speed of adding one to a large array. Then some steps are traced with
TensorFlow's profiler, and each kind of operation is given its time. Two operations that run at
once share the cores, and each counts in full: the times add up to more than the step.
"""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import measuring, training

PROFILED = 3
SHOWN = 8
_NOT_OPERATIONS = {"Process", "Run"}
# Times that a layer's input or output is read or written in one step, forward and backward, if
# every operation goes over its operands once (batch normalization: twice for its statistics).
PASSES = {
    "BatchNormalization": 8,
    "Activation": 3,
    "Conv2D": 3,
    "Add": 6,
    "Concatenate": 4,
}


def traffic(model: keras.Model, batch_size: int) -> float:
    """Returns the bytes that a step moves at least, each operation by itself."""
    total = 0.0
    for layer in model.layers:
        passes = PASSES.get(type(layer).__name__, 0)
        values = [layer.output]
        if isinstance(layer, keras.layers.Conv2D):
            values.append(layer.input)
        for value in values:
            width = tf.as_dtype(value.dtype).size
            total += passes * batch_size * width * np.prod(value.shape[1:], dtype=float)
    return total


def peak(dtype: str, size: int = 2048) -> float:
    """Returns operations per second of the product of two large matrices."""
    matrix = tf.cast(tf.random.normal((size, size)), dtype)
    product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0], jit_compile=False)
    seconds = measuring.interleave({"product": lambda: product().numpy()}, 10)["product"]
    return 2.0 * size**3 / float(np.min(seconds))


def bandwidth(size: int = 2**26) -> float:
    """Returns bytes per second of reading one large array and writing another."""
    values = tf.zeros([size])
    add = tf.function(lambda: values + 1.0, jit_compile=False)
    seconds = measuring.interleave({"add": lambda: add()[0].numpy()}, 10)["add"]
    return 2.0 * 4.0 * size / float(np.min(seconds))


def profile(step: Any, batches: Any) -> dict[str, float]:
    """Traces some steps; returns milliseconds a step by kind of operation, longest first."""
    # Part of TensorFlow, but not of its documented interface.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(PROFILED):
            step(batches)
        tf.profiler.experimental.stop()
        (path,) = Path(folder).glob("plugins/profile/*/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    kinds = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if name and not kind.startswith(" ") and kind not in _NOT_OPERATIONS:
                kind = kind.removeprefix("_Mkl").removeprefix("Native")
                kinds[kind] += event.duration_ps / 1e9 / PROFILED
    return dict(kinds.most_common(SHOWN))


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Measures one network in one precision; times are in seconds where no other unit is named."""
    model = training.build(network, policy)
    step = training.ban_tf_step(model)
    batches = training.repeated(training.random_batch(batch_size))
    taken = measuring.interleave({"step": lambda: step(batches)}, steps)["step"]
    dtype = "bfloat16" if policy == "mixed_bfloat16" else "float32"
    operations, moved = training.arithmetic(model, batch_size), traffic(model, batch_size)
    return {
        "step": float(np.median(taken)),
        "operations": operations,
        "arithmetic": operations / peak(dtype),
        "bytes": moved,
        "memory": moved / bandwidth(),
        "milliseconds_by_operation": profile(step, batches),
    }


def _described(found: dict[str, Any]) -> str:
    times = {name: 1e3 * found[name] for name in ("step", "arithmetic", "memory")}
    summary = (
        f"step {times['step']:.0f} ms; arithmetic at full speed {times['arithmetic']:.0f} ms "
        f"({times['arithmetic'] / times['step']:.0%}), memory at full speed "
        f"{times['memory']:.0f} ms"
    )
    operations = found["milliseconds_by_operation"].items()
    return "\n".join(
        [summary, *(f"  {operation:8.1f} ms  {kind}" for kind, operation in operations)]
    )


def main() -> None:
    """Runs the benchmark from the command line."""
    precisions = ("float32", "mixed_bfloat16")
    training.networks(
        __doc__, measure, _described, names=("wrn-16-1",), precisions=precisions, steps=5
    )


if __name__ == "__main__":
    main()
