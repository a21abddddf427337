"""`--unlabelled`: images without labels, of which each born-again generation learns from some.

Which ones is chosen once for each generation, and kept in its run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np

from ban_tf import datasets
from ban_tf.config.options import Options
from ban_tf.datasets import class_weights, content, unlabelled
from ban_tf.datasets.unlabelled import Choice
from ban_tf.errors import InputError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import json_schema, shown

_COUNTS = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_SCHEMA = {
    "type": "object",
    "required": ["chosen", "kept", "dropped"],
    "properties": dict.fromkeys(("chosen", "kept", "dropped"), _COUNTS),
}


class UnlabelledImages:
    """The images of `--unlabelled`.

    Args:
        options: The options of the run.
        data: Its data.

    Attributes:
        images: The images, without those of the validation and test data.

    Raises:
        InputError: They cannot be read, or none is left.
    """

    def __init__(self, options: Options, data: datasets.ImageData):
        self._options, self._data = options, data
        name = options.unlabelled or ""
        found = unlabelled.load(name, data.input_shape, options.resize, options.skip_bad_files)
        self.images = unlabelled.without(found, data.validation, data.test)
        self._spoilt = len(found.labels) - len(self.images.labels)
        self._joined: tuple[int, datasets.ImageData] | None = None
        if not len(self.images.labels):
            raise InputError(
                f"--unlabelled={name}: every image is identical to one of the validation or test "
                "data; give others."
            )

    def remarks(self) -> list[str]:
        """Returns in a line each how many images there are, and how many are left out."""
        return unlabelled.describe(self.images, self._spoilt)

    def identity(self) -> str:
        """Returns what identifies the images."""
        known_by = content.of_images(self.images, self.images, ())
        return f"{len(self.images.labels)} images of hash {known_by}"

    def steps_per_epoch(self) -> int:
        """Returns the number of full batches of training images and of all of these."""
        examples = len(self._data.train.labels) + len(self.images.labels)
        return examples // self._options.batch_size

    def joined(
        self,
        generation: int,
        directory: RunDirectory,
        predict: Callable[[datasets.Split], np.ndarray],
    ) -> datasets.ImageData:
        """Returns the data of a generation: training images, and those chosen of these.

        Args:
            generation: Its number.
            directory: The run directory, in which the choice is stored.
            predict: Returns the teacher's probabilities, `[images, classes]`.
        """
        if self._joined is None or self._joined[0] != generation:
            chosen = of_generation(
                generation,
                directory,
                lambda: predict(self.images),
                self._options.unlabelled_confidence,
                self._options.unlabelled_balance,
                self._data.class_names,
            )
            train = unlabelled.join(self._data.train, self.images.select(chosen))
            self._joined = generation, dataclasses.replace(self._data, train=train)
        return self._joined[1]


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
