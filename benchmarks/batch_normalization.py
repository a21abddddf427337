"""Time of a training step with fused and with Keras' own batch normalisation.

Run as ``python -m benchmarks.batch_normalization [--steps 30] [--networks wrn-16-1 wrn-16-4]
[--json]``. Both variants of a network take turns step by step in one process, so that whatever
else the machine does falls on both alike; medians are compared. Images are random, 32x32, in
batches of 128; data loading is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ban_tf import architectures
from ban_tf.layers import BatchNormalization

BATCH_SIZE = 128
CLASSES = 10
WARM_UP_STEPS = 2


def stock(model: keras.Model) -> keras.Model:
    """Clone a model with Keras' own batch normalisation in place of the fused layer."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_fused = isinstance(layer, BatchNormalization)
        layer_class = keras.layers.BatchNormalization if is_fused else type(layer)
        return layer_class.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=clone)


def training_step(model: keras.Model) -> Callable[[], float]:
    """Return a function that runs one step of SGD and returns its time in seconds."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(BATCH_SIZE, *model.input_shape[1:])), tf.float32)
    labels = tf.constant(rng.integers(CLASSES, size=BATCH_SIZE))

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return loss

    def timed() -> float:
        start = time.perf_counter()
        step().numpy()
        return time.perf_counter() - start

    return timed


def measure(network: str, policy: str, steps: int) -> dict[str, str | float]:
    """Median seconds per step of both variants of a network, and stock over fused."""
    keras.config.set_dtype_policy(policy)
    fused_model = architectures.build(network, (32, 32, 3), CLASSES)
    variants = {"fused": training_step(fused_model), "stock": training_step(stock(fused_model))}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for step in range(WARM_UP_STEPS + steps):
        for name, run in variants.items():
            seconds = run()
            if step >= WARM_UP_STEPS:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["stock"] / medians["fused"]
    return {"network": network, "policy": policy, **medians, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each variant")
    parser.add_argument("--networks", nargs="+", default=["wrn-16-1", "wrn-16-4"])
    parser.add_argument("--policies", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error(f"--steps={arguments.steps} should be at least 1.")
    for network in arguments.networks:
        for policy in arguments.policies:
            result = measure(network, policy, arguments.steps)
            if arguments.json:
                print(json.dumps(result), flush=True)
            else:
                print(
                    f"{network:10} {policy:15} fused {1e3 * result['fused']:7.1f} ms   "
                    f"stock {1e3 * result['stock']:7.1f} ms   ratio {result['ratio']:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
