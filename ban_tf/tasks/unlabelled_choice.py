"""Which images without labels a generation learns from: chosen once, and kept in its run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from ban_tf.datasets import class_weights, unlabelled
from ban_tf.datasets.unlabelled import Choice
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import json_schema, shown

_COUNTS = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_SCHEMA = {
    "type": "object",
    "required": ["chosen", "kept", "dropped"],
    "properties": dict.fromkeys(("chosen", "kept", "dropped"), _COUNTS),
}


def of_generation(
    number: int,
    directory: RunDirectory,
    predict: Callable[[], np.ndarray],
    confidence: float,
    most: int | None,
    class_names: Sequence[str],
) -> np.ndarray:
    """Returns the indices of the images that a generation learns from.

    Args:
        number: The generation.
        directory: The run directory, in which the choice is stored; a resumed run keeps it.
        predict: Returns the teacher's probabilities, `[images, classes]`.
        confidence: See `unlabelled.choose`.
        most: See `unlabelled.choose`.
        class_names: In the order of the classes, for the message.
    """
    name = f"unlabelled-{number}.json"
    if name in directory.names():
        found = json_schema.read(directory.read(name), _SCHEMA, directory.path / name)
        return np.array(found["chosen"], np.int64)
    choice = unlabelled.choose(predict(), confidence, most)
    content = {field: values.tolist() for field, values in choice._asdict().items()}
    directory.commit({name: json.dumps(content).encode()})
    print(shown.escaped(describe(number, choice, class_names)), flush=True)
    return choice.chosen


def describe(number: int, choice: Choice, class_names: Sequence[str]) -> str:
    """Returns in a line what was chosen, by predicted class."""
    kept, dropped = int(choice.kept.sum()), int(choice.dropped.sum())
    text = f"Generation {number} learns from {kept:,} of {kept + dropped:,} unlabelled images"
    if kept:
        text += f" ({class_weights.listed(choice.kept, class_names)})"
    if dropped:
        text += f"; left out are {dropped:,} ({class_weights.listed(choice.dropped, class_names)})"
    return f"{text}."
