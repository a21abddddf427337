"""What grows with what: time with examples, generations and members, memory with generations.

Run as `python -m benchmarks.growth --plot growth.png`. Small networks, because what is looked for
is the shape of the curves: seconds per example should not depend on how many examples there are,
each generation should take as long and as much memory as the one before, and each further member
of an ensemble should add the same.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path

import keras
import numpy as np
import psutil

import ban_tf
from ban_tf.datasets import pipeline
from ban_tf.distillation.ensemble import ensemble
from ban_tf.layers import BatchNormalization
from benchmarks import measuring, training
from benchmarks.input import image_data

EXAMPLES = (1_000, 5_000, 20_000, 50_000)
GENERATIONS = 8
MEMBERS = (1, 2, 4, 8)
BATCH = 100


def small_model() -> keras.Model:
    """Returns a network that is small, but has all that a large one has."""
    return keras.Sequential(
        [
            keras.Input(training.INPUT_SHAPE),
            keras.layers.Conv2D(16, 3, strides=2, use_bias=False),
            BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(training.NUM_CLASSES),
        ]
    )


def examples(steps: int) -> list[dict[str, float]]:
    """Times as many training steps on data sets of different sizes, in turn."""
    step = training.ban_tf_step(small_model())
    contenders = {}
    for count in EXAMPLES:
        batches = iter(
            pipeline.training_batches(
                image_data(count), batch_size=BATCH, epochs=10**6, seed=0, augment=True
            )
        )
        contenders[str(count)] = lambda batches=batches: [step(batches) for _ in range(10)]
    seconds = measuring.interleave(contenders, steps)
    return [
        {"examples": count, "microseconds": 1e5 / BATCH * float(np.median(seconds[str(count)]))}
        for count in EXAMPLES
    ]


def generations(epochs: int = 3, count: int = 2_000) -> list[dict[str, float]]:
    """Trains a lineage, noting time and memory after each generation."""
    batch = training.random_batch(count)
    rows, started = [], time.perf_counter()

    class Note(keras.callbacks.Callback):
        def on_train_end(self, logs: dict | None = None) -> None:
            gc.collect()
            rows.append({"seconds": time.perf_counter() - started, "megabytes": _resident()})

    lineage = ban_tf.Lineage(small_model, generations=GENERATIONS, objective="kd")
    lineage.fit(
        *batch,
        epochs=epochs,
        batch_size=BATCH,
        compile={"optimizer": "sgd", "jit_compile": False},
        callbacks=lambda number, done: [Note()],
    )
    return [{"generation": number, **row} for number, row in enumerate(rows)]


def members(steps: int) -> list[dict[str, float]]:
    """Times the evaluation of ensembles of different sizes, in turn."""
    images, _ = training.random_batch(1_000)
    models = [small_model() for _ in range(max(MEMBERS))]
    joint = {str(count): ensemble(models[:count], output_kind="categorical") for count in MEMBERS}
    seconds = measuring.interleave(
        {
            name: lambda model=model: model.predict(images, batch_size=500, verbose=0)
            for name, model in joint.items()
        },
        steps,
    )
    return [
        {"members": count, "milliseconds": 1e3 * float(np.median(seconds[str(count)]))}
        for count in MEMBERS
    ]


def plot(results: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draws the four curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = (
        ("examples", "examples", "microseconds", "microseconds an example"),
        ("generations", "generation", "seconds", "seconds since the start"),
        ("generations", "generation", "megabytes", "resident memory, MB"),
        ("members", "members", "milliseconds", "ms to evaluate 1,000 images"),
    )
    for axes, (part, x, y, label) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        axes.plot([row[x] for row in results[part]], [row[y] for row in results[part]], "o-")
        axes.set(xlabel=x, ylabel=label, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _resident() -> float:
    """Memory of this process, in MB."""
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    """Measures, prints and draws."""
    parser = measuring.parser(__doc__, steps=8)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves here")
    arguments = parser.parse_args()
    # Memory first: what the others leave behind would show in it.
    results = {"generations": generations()}
    results |= {"examples": examples(arguments.steps), "members": members(arguments.steps)}
    for name, rows in results.items():
        print(name)
        for row in rows:
            print("  " + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    measuring.write(arguments.json, results)
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
