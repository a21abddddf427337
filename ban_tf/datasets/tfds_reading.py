"""Reads the splits of a TFDS dataset: unchanged, or brought to a size.

Images that are brought to a size are decoded as those in files are, so that a run predicts them
alike. All others are decoded by TFDS.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from ban_tf.datasets import decoding, disk_cache
from ban_tf.datasets.folder_layout import natural
from ban_tf.datasets.image_data import Split
from ban_tf.errors import InputError
from ban_tf.system import bars

_BATCH, _ENCODED = 1000, 256  # images at a time, decoded and encoded
_FEW = 10_000  # images for which no progress is shown


class Keys(NamedTuple):
    """The names of the features."""

    image: str
    label: str


@dataclasses.dataclass(frozen=True)
class Source:
    """A prepared dataset.

    Attributes:
        name: The value of `--dataset`.
        builder: Its builder.
        keys: The names of its features.
        target: What images are brought to; None reads them unchanged.
        class_names: In the order of the labels.
        skip_bad: Whether images that cannot be decoded are left out, if there is a target.
    """

    name: str
    builder: Any
    keys: Keys
    target: decoding.Target | None
    class_names: tuple[str, ...]
    skip_bad: bool = False

    def bytes(self, count: int) -> int:
        """Returns the size of a number of images."""
        return self._forms(count)["images"].bytes

    def read(
        self, split: str, count: int, on_disk: bool, show_progress: bool = False
    ) -> tuple[Split, tuple[str, ...]]:
        """Reads the first examples of a split.

        Args:
            split: Its name.
            count: The number of examples.
            on_disk: Whether they are decoded once to files next to the dataset.
            show_progress: Whether to show the progress with many images.

        Returns:
            The examples, and a sentence for each one that is left out.

        Raises:
            InputError: A file is damaged, an example has no label, or the disk cannot be written.
        """
        forms, read = self._forms(count), self._decoded if self.target is None else self._encoded

        def fill(arrays: Mapping[str, np.ndarray], first: int) -> Iterator[int]:
            show = show_progress and count > _FEW
            with bars.bar("reading images", count, show) as advance:
                advance(first)
                for done in self._checked(split, read(split, count, arrays, first)):
                    advance(done - first)
                    first = done
                    yield done

        if on_disk:
            parts = ("decoded", split, count, *((self.target,) if self.target else ()))
            folder = pathlib.Path(self.builder.data_path) / "-".join(map(str, parts))
            arrays = disk_cache.on_disk(folder, forms, fill, self.name)
        else:
            arrays = disk_cache.in_memory(forms, fill)
        labels = np.array(arrays["labels"])
        if count and labels.min() < 0:
            raise InputError(
                f"--dataset={self.name} has no labels in its split {split}, or some that train "
                "does not have."
            )
        read_examples = Split(arrays["images"], labels)
        if self.target is None:
            return read_examples, ()
        bad = np.flatnonzero(~arrays["digests"].any(axis=1))
        if not len(bad):
            return read_examples, ()
        self._check_bad(split, bad, count)
        good = np.delete(np.arange(count), bad)
        why = f"of {self.name}'s split {split} cannot be decoded."
        return read_examples.select(good), tuple(f"Example {row} {why}" for row in bad)

    def _forms(self, count: int) -> dict[str, disk_cache.Form]:
        several = (len(self.class_names),) if self._are_lists else ()
        labels = {"labels": disk_cache.Form((count, *several), np.int32)}
        if self.target is not None:
            return {**self.target.forms(count), **labels}
        shape = self.builder.info.features[self.keys.image].shape
        return {"images": disk_cache.Form((count, *shape), np.uint8), **labels}

    @property
    def _are_lists(self) -> bool:
        return is_list(self.builder.info.features[self.keys.label])

    def _decoded(
        self, split: str, count: int, arrays: Mapping[str, np.ndarray], first: int
    ) -> Iterator[int]:
        """Writes images as TFDS decodes them."""
        for images, labels in self._batches(split, count, first, _BATCH, encoded=False):
            stop = first + len(labels)
            arrays["images"][first:stop], arrays["labels"][first:stop] = images, labels
            first = stop
            yield stop

    def _encoded(
        self, split: str, count: int, arrays: Mapping[str, np.ndarray], first: int
    ) -> Iterator[int]:
        """Writes images that are brought to a size."""
        assert self.target is not None  # otherwise TFDS decodes them
        with decoding.threads() as threads:
            for images, labels in self._batches(split, count, first, _ENCODED, encoded=True):
                arrays["labels"][first : first + len(labels)] = labels
                sources = [(content, "an image") for content in images]
                decoding.decode_rows(threads, sources, self.target, arrays, first)
                first += len(labels)
                yield first

    def _batches(
        self, split: str, count: int, first: int, size: int, encoded: bool
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields images and labels from an example on."""
        import tensorflow as tf

        whole = not first and count == self.builder.info.splits[split].num_examples
        part = split if whole else f"{split}[{first}:{count}]"
        data = _examples(self.builder, part, self.keys, encoded)
        labels, classes, are_lists = (
            _numbers(self.class_names),
            len(self.class_names),
            self._are_lists,
        )

        def pair(example: Mapping[str, Any]) -> tuple[Any, Any]:
            label = example[self.keys.label]
            if are_lists:  # of any length: zeros and ones, one for each class
                label = tf.reduce_any(tf.one_hot(label, classes, True, False), axis=0)
            return example[self.keys.image], label

        pairs = data.map(pair, tf.data.AUTOTUNE)
        for images, found in pairs.batch(size).prefetch(2).as_numpy_iterator():
            yield images, labels(found)

    def _checked(self, split: str, rows: Iterator[int]) -> Iterator[int]:
        import tensorflow as tf

        try:
            yield from rows
        except tf.errors.OpError as error:  # damaged, or the wrong number of examples
            raise InputError(_damage(self.name, self.builder, split, error)) from error

    def _check_bad(self, split: str, bad: np.ndarray, count: int) -> None:
        which = f"({len(bad)}, the first is example {bad[0]})"
        if self.skip_bad and len(bad) < count:
            logging.warning("%s: bad images of %s that are left out %s.", self.name, split, which)
            return
        raise InputError(
            f"--dataset={self.name}: images in its split {split} cannot be decoded {which}. Leave "
            "them out with --skip_bad_files, or delete the dataset's folder and prepare it again."
        )


def is_list(feature: Any) -> bool:
    """Returns whether a feature is a sequence of class labels."""
    import tensorflow_datasets as tfds

    inner = getattr(feature, "feature", None)
    return isinstance(feature, tfds.features.Sequence) and isinstance(
        inner, tfds.features.ClassLabel
    )


def class_names(builder: Any, keys: Keys) -> tuple[str, ...]:
    """Returns the names of the classes; those of labels that are text are in natural order."""
    import tensorflow_datasets as tfds

    feature = builder.info.features[keys.label]
    if is_list(feature):
        feature = feature.feature
    if isinstance(feature, tfds.features.ClassLabel):
        return tuple(feature.names)
    examples = _examples(builder, "train", keys, encoded=True).map(lambda x: x[keys.label])
    found = {label.decode("utf-8", "replace") for label in examples.as_numpy_iterator()}
    return tuple(sorted(found, key=natural))


def _numbers(names: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from labels to numbers; to -1 if a text is unknown."""
    numbers = {name: number for number, name in enumerate(names)}

    def labels(found: np.ndarray) -> np.ndarray:
        if found.dtype != object:
            return found
        texts = (text.decode("utf-8", "replace") for text in found)
        return np.array([numbers.get(text, -1) for text in texts])

    return labels


def _examples(builder: Any, split: str, keys: Keys, encoded: bool) -> Any:
    import tensorflow_datasets as tfds

    # File order, so that "the first N" and every seed are the same on every machine.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = {keys.image: tfds.decode.SkipDecoding()} if encoded else None
    return builder.as_dataset(
        split=split, shuffle_files=False, read_config=config, decoders=decoders
    )


def first_line(error: Exception) -> str:
    """Returns the first line of a message, without a full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _damage(name: str, builder: Any, split: str, error: Exception) -> str:
    """Returns an error message with the damaged file, which TensorFlow does not name."""
    import tensorflow as tf

    info = builder.info.splits[split.partition("[")[0]]
    place = name
    for number, file in enumerate(info.filepaths):
        try:
            for _ in builder.as_dataset(split=f"{info.name}[{number}shard]"):
                pass
        except tf.errors.OpError as found:
            place, error = file, found
            break
    why = re.sub(r"^\{\{.*?\}\} *|\[Op:.*", "", first_line(error)).strip()
    return (
        f"--dataset={name}: {place} cannot be read ({why}). Delete the dataset's folder and "
        "prepare it again."
    )
