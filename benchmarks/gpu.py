"""Training on a GPU with Keras on JAX, beside the same networks in compiled PyTorch.

Run as `python -m benchmarks.gpu` on a machine with JAX for its GPU. Of other packages it needs
Keras and NumPy; PyTorch takes part if it is installed. In turn, in one process, each for some steps
of `fit` on one batch that is on the device: the student on labels, with the same network as a
teacher that is called in each step, with recorded logits, the network in stock Keras layers, and in
PyTorch 2 with `torch.compile`, channels last. Networks that `--minutes` leaves no time for are left
out, and named.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # which would leave PyTorch none

import jax
import keras
import numpy as np

from ban_tf import RecordedTeacher
from ban_tf.layers import fold
from benchmarks import measuring, training

NETWORKS = ("wrn-28-2", "wrn-28-10", "densenet-112-33")
POLICY = "mixed_bfloat16"
CIFAR_EXAMPLES, CIFAR_EPOCHS = 50_000, 200


def peak(size: int = 8192) -> float:
    """Returns operations per second of the product of two large bfloat16 matrices."""
    matrix = jax.random.normal(jax.random.key(0), (size, size), "bfloat16")
    product = jax.jit(lambda given: given @ given)  # not of a constant, which would be folded
    seconds = measuring.interleave({"product": lambda: product(matrix).block_until_ready()}, 20)
    return 2.0 * size**3 / float(np.median(seconds["product"]))


def fit_steps(model: keras.Model, batch: Any, steps: int) -> Callable[[], None]:
    """Returns a function that trains for some steps by `fit`, on a batch that stays in place."""
    batch = jax.device_put(batch)

    def run() -> None:
        # `fit` returns when it has read the metrics of the last step.
        batches = (batch for _ in itertools.count())
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    return run


def pytorch_steps(
    model: keras.Model, batch: training.Batch, policy: str, steps: int
) -> Callable[[], None]:
    """Returns a function that trains the same network for some steps in compiled PyTorch."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    step = training.pytorch_step(model, batch, policy, device, compiles=True)

    def run() -> None:
        losses = [step() for _ in range(steps)]
        losses[-1].item()  # waits for the end

    return run


def contenders(
    network: str, policy: str, batch: training.Batch, steps: int, names: Sequence[str]
) -> dict[str, Callable[[], None]]:
    """Returns functions that train for some steps, by name."""
    images, labels = batch
    logits = np.random.default_rng(1).normal(size=(len(labels), training.NUM_CLASSES))
    recorded = {"labels": labels, "teacher_logits": logits.astype("float32")}
    build = functools.partial(training.build, network, policy)
    compiled = functools.partial(training.compiled, jit_compile="auto")
    made = {
        "labels": lambda: fit_steps(compiled(build()), batch, steps),
        "online": lambda: fit_steps(compiled(build(), fold(build(), policy)), batch, steps),
        "recorded": lambda: fit_steps(
            compiled(build(), RecordedTeacher()), (images, recorded), steps
        ),
        "keras": lambda: fit_steps(training.stock_model(build()), batch, steps),
        "pytorch": lambda: pytorch_steps(build(), batch, policy, steps),
    }
    return {name: made[name]() for name in names}


def measure(
    network: str, policy: str, steps: int, batch_size: int, rounds: int, top: float
) -> dict[str, Any]:
    """Times one network.

    Args:
        network: Its name.
        policy: The dtype policy.
        steps: Steps of each turn.
        batch_size: Examples in a step.
        rounds: Turns of each contender.
        top: Operations per second of a matrix product, from `peak`.

    Returns:
        By contender: milliseconds a step, images a second, share of `top`; the ratios to compare;
        hours of a generation of 200 epochs on CIFAR-10.
    """
    names = ["labels", "online", "recorded", "keras"]
    if importlib.util.find_spec("torch"):
        names.append("pytorch")
    batch = training.random_batch(batch_size)
    turns = measuring.interleave(contenders(network, policy, batch, steps, names), rounds)
    seconds = {name: values / steps for name, values in turns.items()}
    operations = training.arithmetic(training.build(network, policy), batch_size)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    pairs = [("online", "labels"), ("recorded", "labels"), ("labels", "keras")]
    pairs += [("labels", "pytorch")] if "pytorch" in names else []
    per_generation = CIFAR_EPOCHS * CIFAR_EXAMPLES / batch_size / 3600
    return {
        "milliseconds": measuring.milliseconds(seconds),
        "images_per_second": {name: batch_size / median for name, median in medians.items()},
        "share_of_peak": {
            name: operations / median / top
            for name, median in medians.items()
            if name in ("labels", "keras", "pytorch")  # on which nothing else counts
        },
        "ratios": {f"{a}/{b}": measuring.compare(seconds, a, b) for a, b in pairs},
        "hours_per_generation": {
            name: medians[name] * per_generation for name in ("labels", "online", "recorded")
        },
    }


def _described(found: dict[str, Any]) -> str:
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in found["images_per_second"].items())
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found["share_of_peak"].items())
    ratios = ", ".join(f"{name} {measuring.as_text(r)}" for name, r in found["ratios"].items())
    hours = ", ".join(f"{name} {hour:.2f}" for name, hour in found["hours_per_generation"].items())
    return "\n  ".join(
        [
            f"images a second: {rates}",
            f"share of the matrix peak: {shares}",
            f"time of a step over another: {ratios}",
            f"hours for a generation of {CIFAR_EPOCHS} epochs: {hours}",
        ]
    )


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, steps=50, batch_size=128, rounds=7, minutes=25)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME")
    parser.add_argument("--precision", default=POLICY, metavar="POLICY")
    parser.add_argument("--peak_size", type=int, default=8192, help="rows of the matrix product")
    given = parser.parse_args()
    start, longest = time.monotonic(), 0.0
    top = peak(given.peak_size)
    device = jax.devices()[0].device_kind
    print(f"{device}: a matrix product runs at {top / 1e12:.1f} TFLOP/s", flush=True)
    results: list[dict[str, Any]] = []
    for network in given.networks:
        begun = time.monotonic()
        if begun - start + longest > 60 * given.minutes:
            print(f"{network}: left out, there are no {longest / 60:.0f} minutes left for it.")
            continue
        sizes = {"batch_size": given.batch_size, "steps": given.steps, "rounds": given.rounds}
        found = measure(network, given.precision, **sizes, top=top)
        print(f"{network} {given.precision}:\n  {_described(found)}", flush=True)
        results.append({"network": network, "precision": given.precision, **sizes, **found})
        measuring.write(given.json, {"device": device, "peak": top, "networks": results})
        keras.backend.clear_session()
        jax.clear_caches()
        longest = max(longest, time.monotonic() - begun)


if __name__ == "__main__":
    main()
