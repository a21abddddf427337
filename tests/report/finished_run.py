"""A run directory as a finished run leaves it, made of random predictions."""

from __future__ import annotations

import io
import json

import numpy as np

from ban_tf.metrics import summary
from ban_tf.report import examples
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory

CLASSES = ("cat", "dog", "<b>fox</b>")


def make(path, generations=3, seed=0, objective="kd", gain=0.6, **settings):
    """Writes a run whose generations differ by `gain` in the true class's logit."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(3, size=120)
    predictions = []
    for number in range(generations):
        logits = rng.normal(size=(120, 3))
        logits[np.arange(120), labels] += 1.0 + gain * number
        predictions.append(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))
    facts = {
        "dataset": "animals",
        "architecture": "wrn-10-1",
        "objective": objective,
        "seed": seed,
        "epochs": settings.pop("epochs", 2),
        "command": "python -m ban_tf.main --epochs=2",
        "environment": {"keras": "3.15.1", "processor": "abacus, 2 cores"},
    }
    members = [
        summary.Member(
            number, "labels" if not number else f"generation {number - 1}", prediction, 3.5
        )
        for number, prediction in enumerate(predictions)
    ]
    shown = examples.select_examples(predictions, labels)
    test = reading.Test(labels, shown, rng.integers(256, size=(len(shown), 6, 5, 3), dtype="uint8"))
    data = reading.DataFacts("animals", CLASSES, (6, 5, 3), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    files = {
        "data.json": data.to_json(),
        "test.npz": test.to_bytes(),
        "run.cfg": b"--epochs=2\n",
        "summary.json": json.dumps(summary.summarize(facts, members, labels)).encode(),
    }
    for number, prediction in enumerate(predictions):
        buffer = io.BytesIO()
        np.savez(buffer, **{"00000": prediction})
        files[f"generation-{number}/predictions.npz"] = buffer.getvalue()
        rows = "epoch,loss,val_accuracy\n1,2.0,0.5\n2,1.0,0.75\n"
        files[f"generation-{number}/history.csv"] = rows.encode()
    with RunDirectory(path) as directory:
        directory.commit(
            files,
            metadata={
                "settings": {"objective": objective, "seed": seed, **settings},
                "generations": {
                    str(number): {"epochs": 2, "finished": True, "teachers": {}}
                    for number in range(generations)
                },
            },
        )
    return path
