"""What `ban_tf.layers.fuse` saves a user's own network: the time of one training step.

Run as `python -m benchmarks.fuse`. Networks of `keras.applications` and their fused copies, with
equal weights, train on one fixed batch of random images, in turn.
"""

from __future__ import annotations

from typing import Any

from ban_tf.layers import fuse
from benchmarks import measuring, training

NETWORKS = ("MobileNetV2", "ResNet50")
PRECISIONS = ("float32", "mixed_bfloat16")


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times a network and its fused copy.

    Returns:
        Median milliseconds of both, and the ratio of the fused to the stock one.
    """
    stock = training.build(network, policy)
    batches = training.repeated(training.random_batch(batch_size))
    steppers = {"fused": training.keras_step(fuse(stock)), "stock": training.keras_step(stock)}
    seconds = measuring.interleave(
        {name: lambda stepper=stepper: stepper(batches) for name, stepper in steppers.items()},
        steps,
    )
    return {
        "milliseconds": measuring.milliseconds(seconds),
        "ratio": measuring.compare(seconds, "fused", "stock"),
    }


def _described(found: dict[str, Any]) -> str:
    times = measuring.times_as_text(found["milliseconds"])
    return f"{times}; fused takes {measuring.as_text(found['ratio'])} of stock"


def main() -> None:
    """Runs the benchmark from the command line."""
    training.networks(
        __doc__, measure, _described, names=NETWORKS, precisions=PRECISIONS, batch_size=32
    )


if __name__ == "__main__":
    main()
