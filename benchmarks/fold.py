"""What `ban_tf.layers.fold` saves a teacher: the time of its predictions for one batch.

Run as `python -m benchmarks.fold`. Networks of `keras.applications` and of the project as they are
(the former in stock layers), fused, and folded, with equal weights, look at one fixed batch of
random images, in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ban_tf.layers import fold, fuse
from benchmarks import measuring, training

NETWORKS = ("MobileNetV2", "ResNet50", "wrn-16-1")
PRECISIONS = ("float32", "mixed_bfloat16")


def _compiled(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(lambda images: model(images, training=False), jit_compile=False)


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times a network, its fused copy, its folded one, and that in bfloat16.

    Returns:
        Median milliseconds of each, and the ratios to the network as it is.
    """
    stock = training.build(network, policy)
    models = {"stock": stock, "fused": fuse(stock), "folded": fold(stock)}
    if policy == "float32":
        models["folded_bfloat16"] = fold(stock, "mixed_bfloat16")
    images = tf.constant(training.random_batch(batch_size)[0])
    calls = {name: _compiled(model) for name, model in models.items()}
    seconds = measuring.interleave(
        {name: lambda call=call: call(images).numpy() for name, call in calls.items()}, steps
    )
    return {
        "milliseconds": measuring.milliseconds(seconds),
        "ratios": {
            name: measuring.compare(seconds, name, "stock") for name in models if name != "stock"
        },
    }


def _described(found: dict[str, Any]) -> str:
    times = measuring.times_as_text(found["milliseconds"])
    ratios = ", ".join(
        f"{name} {measuring.as_text(ratio)}" for name, ratio in found["ratios"].items()
    )
    return f"{times}; of stock: {ratios}"


def main() -> None:
    """Runs the benchmark from the command line."""
    training.networks(
        __doc__, measure, _described, names=NETWORKS, precisions=PRECISIONS, batch_size=64
    )


if __name__ == "__main__":
    main()
