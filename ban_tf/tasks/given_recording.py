"""`--teacher_from=recording:PATH` on images: a recording as the teacher of generation 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf import datasets
from ban_tf.datasets import recorded_views
from ban_tf.distillation import class_maps, example_keys, teacher_names
from ban_tf.distillation.recorded_outputs import LOGITS, NONE, VALUES, Manifest, RecordedOutputs
from ban_tf.distillation.recording import in_dataset
from ban_tf.errors import InputError
from ban_tf.tasks import chance, number_scores

_CHECKED = 2000  # training images, of larger data


class GivenRecording:
    """The outputs of a recording for the training images of a run.

    Args:
        path: The recording.
        data: The data of the run.
        augment: Its augmentation, one of `policies.POLICIES`.
        seed: The value of `--augmentation_seed`, or `--seed`.
        classes: The value of `--teacher_classes`, or None.
        target: The number that the run predicts; None for classes.

    Attributes:
        views: How many views of the images there are.
        targets: The class of the data of each class of the teacher; None if they are the same.

    Raises:
        InputError: It is no complete recording, or is of other images, another order or
            augmentation, or other classes.
    """

    def __init__(
        self,
        path: str,
        data: datasets.ImageData,
        augment: str,
        seed: int,
        classes: str | None,
        target: number_scores.Target | None = None,
    ):
        self._target, self._data = target, data
        self._name = f"--teacher_from=recording:{path}"
        self._recorded = RecordedOutputs(path)
        manifest = self._recorded.manifest
        wanted, has = (LOGITS, "classes") if target is None else (VALUES, "numbers")
        if manifest.outputs != wanted:
            raise InputError(f"{self._name} has {manifest.outputs}, but images have {has}.")
        self.targets = targets_of(manifest.class_names, manifest.classes, data, classes, self._name)
        self._check_augmentation(manifest, recorded_views.describe(augment, seed))
        self.views = manifest.views if augment != "none" else 1
        self._places = self._find(data.train, augment != "none")

    def _check_augmentation(self, manifest: Manifest, wanted: dict) -> None:
        found = manifest.augmentation
        if found == wanted:
            return
        if found == NONE:
            raise InputError(
                f"{self._name} was recorded of unchanged images, but they would be augmented "
                f"({wanted['policy']}); give --augment=none, or record `ban_tf.datasets.views`."
            )
        raise InputError(
            f"{self._name} was recorded of images augmented as {_words(found)}, but they would be "
            f"{_words(wanted)}; give --augment={found['policy']}"
            + (f" --augmentation_seed={found['seed']}." if "seed" in found else ".")
        )

    def _find(self, split: datasets.Split, augmented: bool) -> np.ndarray:
        """Returns the place of each image in the recording, `[views, images]`."""
        keys = example_keys.of_examples(split.images)
        if augmented:
            if not all(np.array_equal(view, keys) for view in self._recorded.keys):
                raise InputError(
                    f"{self._name} has views of other training images than these, or in another "
                    "order; give the --seed, --validation_fraction and --train_examples that "
                    "`ban_tf.datasets.load` had."
                )
            size = len(keys)
            return np.arange(self.views * size).reshape(self.views, size)
        places = self._recorded.find(keys)
        if split.files is not None and (places < 0).any():
            by_name = self._recorded.find(example_keys.of_names(split.files))
            places = np.where(places < 0, by_name, places)
        missing = np.flatnonzero(places < 0)
        if missing.size:
            which = "" if split.files is None else f", such as {split.files[missing[0]]}"
            raise InputError(
                f"{self._name} lacks {missing.size:,} of the {len(keys):,} training images{which}; "
                "record these very images (or their names as `keys`), at the size of the run."
            )
        return places[np.newaxis]

    def logits(self, view: Any, chosen: Any) -> Any:
        """Returns the recorded logits of some images.

        Args:
            view: Which view, a scalar.
            chosen: Indices of training images, `[batch]`: an array, or a tensor inside `tf.data`.

        Returns:
            float32 `[batch, classes of the teacher]`, an array or a tensor as `chosen`; numbers are
            standardized.
        """

        def read(number: np.ndarray, rows: np.ndarray) -> np.ndarray:
            found = self._recorded.outputs(self._places[int(number) % self.views][rows])
            if self._target is None:
                return found
            return number_scores.standardized(found[:, 0], self._target)

        return in_dataset(read, (view, chosen), (self._recorded.manifest.classes,))

    def check_accuracy(self) -> None:
        """Checks that the teacher is right about more training images than chance.

        Nothing is known of augmented images, of which a teacher may be right about few.

        Raises:
            InputError: It is not.
        """
        if self._target is not None or self._recorded.manifest.augmentation != NONE:
            return
        labels = np.asarray(self._data.train.labels)
        some = np.arange(0, len(labels), max(1, len(labels) // _CHECKED))
        outputs = self._recorded.outputs(self._places[0][some])
        check_better_than_chance(self._name, outputs, labels[some], self.targets, self._data)

    def describe(self) -> str:
        """Returns what identifies it, for the settings of a run."""
        mapped = "" if self.targets is None else f" with its classes mapped to {self.targets}"
        return f"{teacher_names.RECORDED}{self._recorded.digest()[:16]}{mapped}"


def check_better_than_chance(
    name: str,
    outputs: np.ndarray,
    labels: np.ndarray,
    targets: list[int | None] | None,
    data: datasets.ImageData,
) -> None:
    """Checks that a teacher is right more often than chance, about the classes that it has.

    Args:
        name: How messages name the teacher.
        outputs: Its logits, `[examples, classes of the teacher]`.
        labels: The labels of these examples.
        targets: As from `targets_of`.
        data: The data.

    Raises:
        InputError: It is not.
    """
    if targets is not None:
        classes = class_maps.of_indices(targets, data.num_classes)
        known = np.isin(labels, classes.targets)
        labels, outputs = labels[known], class_maps.mapped(outputs[known], classes)
    expected = chance.of_accuracy(labels)
    if expected is None:
        return
    right = float(np.mean(outputs.argmax(axis=-1) == labels))
    if right <= expected:
        raise InputError(
            f"{name} is right about {right:.1%} of the training images, which is no better than "
            f"chance (at most {expected:.1%} in 95 of 100 cases): most likely it was given other "
            "pixels than it takes (--teacher_input names them), or its classes have another order."
        )


def targets_of(
    names: Sequence[str] | None,
    count: int,
    data: datasets.ImageData,
    file: str | None,
    teacher: str,
) -> list[int | None] | None:
    """Returns the class of the data of each class of a teacher; None if they are the same.

    Args:
        names: The names of the teacher's classes, if it has any.
        count: The number of its classes.
        data: The data of the run.
        file: The value of `--teacher_classes`, or None.
        teacher: How messages name the teacher.

    Raises:
        InputError: The classes are others, and no file maps them; or the file is of another
            teacher.
    """
    ours = list(data.class_names)
    if file is not None:
        listed, targets = class_maps.read(file, ours)
        if len(listed) != count or (names is not None and list(names) != listed):
            raise InputError(
                f"--teacher_classes={file} lists {len(listed)} classes, which are not the {count} "
                f"of {teacher} in the order of its outputs."
            )
    elif names is None and count == len(ours):
        return None
    elif names is not None and sorted(names) == sorted(ours):
        targets = class_maps.match_classes(names, ours)
    else:
        which = "" if names is None else f" ({', '.join(names[:5])}, ...)"
        raise InputError(
            f"{teacher} has {count} classes{which}, which are not the {len(ours)} of --dataset="
            f"{data.name}; map them with --teacher_classes=FILE."
        )
    found = class_maps.of_indices(targets, len(ours))
    return None if found.is_identity else targets


def _words(augmentation: dict) -> str:
    return " ".join(f"{name} {value}" for name, value in augmentation.items())
