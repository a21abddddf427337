"""What a teacher costs: a distilled step over a step on labels alone.

Run as `python -m benchmarks.teacher`. In turn, in one process: the student on labels, with the
teacher called in each step, the same folded and in bfloat16, with the teacher's logits recorded
beforehand (read from disk by the input pipeline), and Keras's own `Distiller` with stock layers
over the same student in stock layers on labels. Each goes through `tf.data`, so that reading
counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import RecordedTeacher
from ban_tf.distillation import recording
from ban_tf.layers import fold
from benchmarks import measuring, training


def recorded_batches(batch: training.Batch, folder: Path, views: int = 2) -> Any:
    """Returns batches whose logits are read from a recording of random outputs."""
    form = recording.Form(views, len(batch[0]), training.NUM_CLASSES)
    draw = np.random.default_rng(1)
    recorded = recording.record(
        folder,
        form,
        lambda view, first: [draw.normal(size=(len(batch[0]), form.classes))],
        lambda logits: logits,
    )
    images, labels = map(tf.constant, batch)
    chosen = tf.range(len(batch[0]))

    def read(step: tf.Tensor) -> Any:
        logits = recorded.logits(step % views, chosen)
        return images, {"labels": labels, "teacher_logits": logits}

    return iter(tf.data.Dataset.range(10**9).map(read).prefetch(2))


def distiller_step(student: keras.Model, teacher: keras.Model) -> Callable[[Any], float]:
    """Returns a training step of Keras's own distillation."""
    distiller = keras.distillation.Distiller(
        teacher=teacher,
        student=student,
        distillation_losses=keras.distillation.LogitsDistillation(loss=keras.losses.KLDivergence()),
    )
    distiller.compile(
        optimizer=keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    distiller.build((None, *training.INPUT_SHAPE))
    distiller.optimizer.build(distiller.trainable_variables)
    distiller.make_train_function()

    def step(batches: Any) -> float:
        return float(distiller.train_function(batches)["loss"])

    return step


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times one network in one precision."""
    batch = training.random_batch(batch_size)
    teacher = training.build(network, policy)

    def student() -> keras.Model:
        return training.build(network, policy)

    def stock() -> keras.Model:
        return training.with_stock_layers(student())

    with tempfile.TemporaryDirectory() as folder:
        plain, read = training.repeated(batch), recorded_batches(batch, Path(folder))
        pairs = {
            "labels": (training.ban_tf_step(student()), plain),
            "online": (training.ban_tf_step(student(), teacher), plain),
            "fast": (training.ban_tf_step(student(), fold(teacher, "mixed_bfloat16")), plain),
            "recorded": (training.ban_tf_step(student(), RecordedTeacher()), read),
            "keras": (training.keras_step(stock()), plain),
            "keras_distiller": (
                distiller_step(stock(), training.with_stock_layers(teacher)),
                plain,
            ),
        }
        seconds = measuring.interleave(
            {
                name: lambda step=step, batches=batches: step(batches)
                for name, (step, batches) in pairs.items()
            },
            steps,
        )
    taught = ("online", "fast", "recorded")
    against = {**dict.fromkeys(taught, "labels"), "keras_distiller": "keras"}
    return {
        "milliseconds": measuring.milliseconds(seconds),
        "ratios": {
            f"{name}/{other}": measuring.compare(seconds, name, other)
            for name, other in against.items()
        },
    }


def _described(found: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {measuring.as_text(ratio)}" for name, ratio in found["ratios"].items()
    )


def main() -> None:
    """Runs the benchmark from the command line."""
    training.networks(__doc__, measure, _described, names=("wrn-16-1",), precisions=("float32",))


if __name__ == "__main__":
    main()
