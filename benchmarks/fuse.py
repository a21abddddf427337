"""What `ban_tf.layers.fuse` saves a user's own network: the time of one training step.

Run as `python -m benchmarks.fuse`. Networks of `keras.applications` and their fused copies, with
equal weights, train on one fixed batch of random images, in turn.
"""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.layers import fuse
from benchmarks import measuring, training

NETWORKS = ("MobileNetV2", "ResNet50")
PRECISIONS = ("float32", "mixed_bfloat16")


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times a network and its fused copy.

    Returns:
        Median milliseconds of both, and the ratio of the fused to the stock one.
    """
    keras.config.set_dtype_policy(policy)
    stock = getattr(keras.applications, network)(
        input_shape=training.INPUT_SHAPE,
        weights=None,
        classes=training.NUM_CLASSES,
        classifier_activation=None,
    )
    batches = training.repeated(training.random_batch(batch_size))
    steppers = {"fused": training.keras_step(fuse(stock)), "stock": training.keras_step(stock)}
    seconds = measuring.interleave(
        {name: lambda stepper=stepper: stepper(batches) for name, stepper in steppers.items()},
        steps,
    )
    return {
        "network": network,
        "precision": policy,
        "batch_size": batch_size,
        "steps": steps,
        "milliseconds": {
            name: float(1e3 * sorted(each)[len(each) // 2]) for name, each in seconds.items()
        },
        "ratio": measuring.compare(seconds, "fused", "stock"),
    }


def main() -> None:
    """Measures what the command line asks for."""
    parser = measuring.parser(__doc__, steps=20, batch_size=32)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, metavar="POLICY")
    arguments = parser.parse_args()
    results = []
    for network in arguments.networks:
        for policy in arguments.precisions:
            result = measure(network, policy, arguments.steps, arguments.batch_size)
            times = ", ".join(f"{name} {ms:.0f} ms" for name, ms in result["milliseconds"].items())
            ratio = measuring.in_words(result["ratio"])
            print(f"{network} {policy}: {times}; fused takes {ratio} of stock", flush=True)
            results.append(result)
            measuring.write(arguments.json, results)
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
