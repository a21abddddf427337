"""Whether training waits for its data.

Run as `python -m benchmarks.input`. On random images of CIFAR's shape: examples per second of the
input pipeline alone, in memory and memory-mapped, with crops, flips, normalization and shuffling;
of the network that consumes them; and the share of a training's time that it spends waiting for a
batch.
"""

from __future__ import annotations

import pathlib
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf

from ban_tf.datasets import ImageData, Split, pipeline
from benchmarks import measuring, training


def image_data(examples: int, folder: pathlib.Path | None = None) -> ImageData:
    """Returns random images, in memory or memory-mapped in a folder."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (examples, *training.INPUT_SHAPE), dtype=np.uint8)
    labels = draw.integers(0, training.NUM_CLASSES, examples).astype(np.int32)
    if folder is not None:
        np.save(folder / "images.npy", images)
        images = np.load(folder / "images.npy", mmap_mode="r")
    train, rest = Split(images, labels), Split(images[:100], labels[:100])
    names = tuple(map(str, range(training.NUM_CLASSES)))
    half = np.full(3, 0.5, np.float32)
    return ImageData("random", train, rest, rest, names, half, half / 2, True)


def pipeline_alone(data: ImageData, batch_size: int, steps: int) -> float:
    """Returns examples per second of the batches, with nobody learning from them."""
    batches = iter(
        pipeline.training_batches(data, batch_size=batch_size, epochs=10**6, seed=0, augment=True)
    )
    next(batches)
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return steps * batch_size / (time.perf_counter() - start)


def training_alone(network: str, batch_size: int, steps: int) -> float:
    """Returns examples per second of training on a batch that is always there."""
    step = training.ban_tf_step(training.build(network))
    batches = training.repeated(training.random_batch(batch_size))
    seconds = measuring.interleave({"step": lambda: step(batches)}, steps)["step"]
    return batch_size / float(np.median(seconds))


def waiting(network: str, data: ImageData, batch_size: int, steps: int) -> float:
    """Returns the share of a training's time that goes by until the next batch is there."""
    student = training.compiled(training.build(network))
    step = tf.function(student.train_step)
    batches = iter(
        pipeline.training_batches(data, batch_size=batch_size, epochs=10**6, seed=0, augment=True)
    )
    step(next(batches))
    waited, start = 0.0, time.perf_counter()
    for _ in range(steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        float(step(batch)["loss"])
    return waited / (time.perf_counter() - start)


def measure(network: str, examples: int, batch_size: int, steps: int) -> dict[str, Any]:
    """Takes all measurements."""
    with tempfile.TemporaryDirectory() as folder:
        memory, mapped = image_data(examples), image_data(examples, pathlib.Path(folder))
        result = {
            "network": network,
            "pipeline_examples_per_second": pipeline_alone(memory, batch_size, 4 * steps),
            "memory_mapped_examples_per_second": pipeline_alone(mapped, batch_size, 4 * steps),
            "training_examples_per_second": training_alone(network, batch_size, steps),
            "waiting": waiting(network, memory, batch_size, steps),
            "waiting_memory_mapped": waiting(network, mapped, batch_size, steps),
        }
    result["pipeline_over_training"] = (
        result["pipeline_examples_per_second"] / result["training_examples_per_second"]
    )
    return result


def main() -> None:
    """Measures and prints."""
    parser = measuring.parser(__doc__, steps=30, batch_size=128, examples=50_000)
    parser.add_argument("--network", default="wrn-16-1")
    arguments = parser.parse_args()
    result = measure(arguments.network, arguments.examples, arguments.batch_size, arguments.steps)
    for name, value in result.items():
        print(f"{name:<36}{value if isinstance(value, str) else format(value, '10.3f')}")
    measuring.write(arguments.json, result)


if __name__ == "__main__":
    main()
