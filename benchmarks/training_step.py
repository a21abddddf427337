"""One training step: ban_tf against the same network in stock Keras layers and in PyTorch.

Run as `python -m benchmarks.training_step`, with `--networks` and `--precisions` to choose. The
contenders train on one fixed batch of random images, in turn, in one process, except for stock
Keras on JAX, which has a process of its own. PyTorch and JAX take part if they are installed
(`pip install -r benchmarks/requirements.txt`).
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

# PyTorch's idle threads would otherwise keep a core busy while TensorFlow has its turn.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


from benchmarks import jax_process, measuring, training

NETWORKS = ("wrn-16-1", "wrn-16-4", "wrn-28-2", "densenet-40-12")
PRECISIONS = ("float32", "mixed_bfloat16")


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times one network in one precision.

    Returns:
        Median milliseconds of each contender, and ratios of ban_tf to the others.
    """
    batch = training.random_batch(batch_size)
    batches = training.repeated(batch)
    ours = training.build(network, policy)
    stock = training.with_stock_layers(ours)
    steppers = {"ban_tf": training.ban_tf_step(ours), "keras": training.keras_step(stock)}
    contenders = {
        name: lambda stepper=stepper: stepper(batches) for name, stepper in steppers.items()
    }
    if importlib.util.find_spec("torch"):
        contenders["pytorch"] = training.pytorch_step(ours, batch, policy)
    if importlib.util.find_spec("jax"):
        contenders["keras on jax"] = jax_process.step(network, policy, batch_size)
    seconds = measuring.interleave(contenders, steps)
    return {
        "milliseconds": measuring.milliseconds(seconds),
        "ratios": {
            name: measuring.compare(seconds, "ban_tf", name) for name in seconds if name != "ban_tf"
        },
    }


def _described(found: dict[str, Any]) -> str:
    times = measuring.times_as_text(found["milliseconds"])
    ratios = ", ".join(
        f"{measuring.as_text(ratio)} of {name}" for name, ratio in found["ratios"].items()
    )
    return f"{times}; ban_tf takes {ratios}"


def main() -> None:
    """Runs the benchmark from the command line."""
    training.networks(__doc__, measure, _described, names=NETWORKS, precisions=PRECISIONS)


if __name__ == "__main__":
    main()
