"""What the fused batch normalization saves: the time of one training step.

Run as `python -m benchmarks.batch_normalization`. For each network and precision there are two
copies with equal weights, one with the fused layer and one with Keras's own, and they take
training steps in turn on one fixed batch of random images, so that whatever else the machine is
doing falls on both. Reported are the median step of each and the median of the ratios of
neighboring steps with its quartiles. Steps are what `fit` runs, without data loading; XLA is
off, because it is slower than either on CPUs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import architectures
from ban_tf.layers import BatchNormalization

NETWORKS = ("wrn-16-1", "wrn-16-4")
PRECISIONS = ("float32", "mixed_bfloat16")
INPUT_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
WARM_UP_STEPS = 3


def with_stock_layers(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` with Keras's own batch normalization and equal weights."""

    def clone(layer: keras.Layer) -> keras.Layer:
        is_fused = isinstance(layer, BatchNormalization)
        kind = keras.layers.BatchNormalization if is_fused else type(layer)
        return kind.from_config(layer.get_config())

    stock = keras.models.clone_model(model, clone_function=clone)
    stock.set_weights(model.get_weights())
    return stock


def training_step(model: keras.Model, batch: tuple[np.ndarray, np.ndarray]) -> Any:
    """Returns a function that trains on `batch` once and returns the seconds that it took."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, loss, jit_compile=False)
    model.train_on_batch(*batch)  # creates the loss tracker and the optimizer's variables
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def step() -> float:
        start = time.perf_counter()
        float(model.train_function(batches)["loss"])  # reading the loss waits for the step to end
        return time.perf_counter() - start

    return step


def measure(network: str, precision: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times both copies of one network in turn.

    Returns:
        Medians in milliseconds, and the quartiles of the ratio fused / stock.
    """
    keras.config.set_dtype_policy(precision)
    fused = architectures.build(network, INPUT_SHAPE, NUM_CLASSES)
    draw = np.random.default_rng(0)
    images = draw.normal(size=(batch_size, *INPUT_SHAPE)).astype("float32")
    batch = images, draw.integers(NUM_CLASSES, size=batch_size)
    stepping = [training_step(model, batch) for model in (fused, with_stock_layers(fused))]
    for _ in range(WARM_UP_STEPS):
        for step in stepping:
            step()
    seconds = np.empty((steps, 2))
    for index in range(steps):
        # Alternating who goes first: neither always follows the other.
        for which in (0, 1) if index % 2 else (1, 0):
            seconds[index, which] = stepping[which]()
    quartiles = np.quantile(seconds[:, 0] / seconds[:, 1], [0.25, 0.5, 0.75])
    fused_ms, stock_ms = 1e3 * np.median(seconds, axis=0)
    return {
        "network": network,
        "precision": precision,
        "batch_size": batch_size,
        "steps": steps,
        "fused_ms": float(fused_ms),
        "stock_ms": float(stock_ms),
        "ratio": float(quartiles[1]),
        "ratio_quartiles": [float(quartiles[0]), float(quartiles[2])],
    }


def main() -> None:
    """Runs the benchmark from the command line; prints a table, and writes JSON if given a path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, metavar="POLICY")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.batch_size < 1:
        parser.error("--steps and --batch_size must be at least 1")
    print(f"{'network':<12}{'precision':<16}{'stock ms':>10}{'fused ms':>10}  fused / stock")
    results = []
    for network in arguments.networks:
        for precision in arguments.precisions:
            result = measure(network, precision, arguments.steps, arguments.batch_size)
            low, high = result["ratio_quartiles"]
            print(
                f"{network:<12}{precision:<16}{result['stock_ms']:>10.1f}{result['fused_ms']:>10.1f}"
                f"  {result['ratio']:.3f} (quartiles {low:.3f} to {high:.3f})",
                flush=True,
            )
            results.append(result)
            keras.backend.clear_session()
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
