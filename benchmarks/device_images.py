"""What it saves under JAX to augment and normalize images on the device.

Run as `python -m benchmarks.device_images`. On random images, of CIFAR's shape by default: the time
until a batch is prepared, and that of an epoch of a network of one convolution, on the device and
in NumPy.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import keras
import numpy as np

from ban_tf.datasets import ImageData, Split, device_images, numpy_policies, pipeline, policies
from benchmarks import measuring

CLASSES = 10
WAYS = {"host": False, "device": True}


def image_data(examples: int, size: int) -> ImageData:
    """Returns random images."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (examples, size, size, 3), dtype=np.uint8)
    split = Split(images, draw.integers(0, CLASSES, examples).astype(np.int32))
    half = np.full(3, 0.5, np.float32)
    names = tuple(map(str, range(CLASSES)))
    return ImageData("random", split, split, split, names, half, half / 2, True)


def preparing(data: ImageData, augment: str, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Returns what prepares a batch that has been read, in each way."""
    images = data.train.images[:batch_size]
    drawn = numpy_policies.draw(augment, batch_size, (0, -1))

    def by(on_device: bool) -> Callable[[], Any]:
        prepare = device_images.Preparation(data.mean, data.std, augment, on_device)
        return lambda: jax.block_until_ready(jax.device_put(prepare.images(images, drawn)))

    return {name: by(on_device) for name, on_device in WAYS.items()}


def epochs(data: ImageData, augment: str, batch_size: int) -> dict[str, Callable[[], Any]]:
    """Returns what trains for an epoch, with batches of each way."""

    def by(on_device: bool) -> Callable[[], Any]:
        with mock.patch.object(device_images, "serves", lambda: on_device):
            batches = pipeline.training_batches(
                data, batch_size=batch_size, epochs=2**31, seed=0, augment=augment
            )
        layers = [keras.layers.Conv2D(16, 3, strides=2), keras.layers.GlobalAveragePooling2D()]
        shape = data.train.images.shape[1:]
        model = keras.Sequential([keras.Input(shape), *layers, keras.layers.Dense(CLASSES)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        steps = pipeline.steps_per_epoch(data, batch_size)
        return lambda: model.fit(batches, steps_per_epoch=steps, verbose=0)

    return {name: by(on_device) for name, on_device in WAYS.items()}


def main() -> None:
    """Measures and prints."""
    parser = measuring.parser(
        __doc__, steps=100, epochs=10, batch_size=128, examples=5_000, size=32
    )
    arguments = parser.parse_args()
    data, results = image_data(arguments.examples, arguments.size), {}
    for augment in policies.POLICIES:
        for what, made, turns in (
            ("batch", preparing, arguments.steps),
            ("epoch", epochs, arguments.epochs),
        ):
            seconds = measuring.interleave(made(data, augment, arguments.batch_size), turns)
            ratio = measuring.compare(seconds, "device", "host")
            times = {
                name: [float(1e3 * part) for part in np.quantile(values, [0.25, 0.5, 0.75])]
                for name, values in seconds.items()
            }
            results[f"{augment} {what}"] = {"ratio": ratio, "milliseconds": times}
            shown = ", ".join(
                f"{name} {middle:.2f} [{low:.2f}, {high:.2f}] ms"
                for name, (low, middle, high) in times.items()
            )
            print(f"{augment:<10}{what:<7}{shown}; device over host {measuring.as_text(ratio)}")
    measuring.write(arguments.json, results)


if __name__ == "__main__":
    main()
