"""Images and labels, split into training, validation and test data.

Images are in memory, or on disk if they would not fit: memory-mapped NumPy arrays, of which only
the required rows are read. Of many images in memory there is one array, too, which all parts share.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

_MOST_COPIED = 2**28  # bytes of images in memory that are copied to be selected


class Rows:
    """Some rows of images, as an array: without a copy, on disk or in memory.

    Args:
        images: uint8 `[examples, height, width, channels]`: an array, memory-mapped or not, or
            rows of one.
        rows: The indices of the rows, `[chosen]`.
    """

    def __init__(self, images: np.ndarray | Rows, rows: np.ndarray):
        self._images, self._rows = images, rows
        self.shape: tuple[Any, ...] = (len(rows), *images.shape[1:])
        self.dtype: np.dtype = images.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Reads rows."""
        return np.asarray(self._images[self._rows[chosen]])


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples.

    Attributes:
        images: uint8 `[examples, height, width, channels]`: an array, memory-mapped or not, or
            `Rows` of one.
        labels: int32 `[examples]`, classes; or `[examples, labels]`, zeros and ones; or float64
            `[examples]`, numbers; or masks of classes, uint8 `[examples, height, width]`, whose
            pixels without a class are 255.
        files: The names of the files, relative to their folder; None if they come from no files.
    """

    images: np.ndarray | Rows
    labels: np.ndarray
    files: tuple[str, ...] | None = None

    @property
    def is_read_by_rows(self) -> bool:
        """Whether batches are read from disk, or from many images in memory, without a copy."""
        if isinstance(self.images, (np.memmap, Rows)):
            return True
        return self.images.nbytes > _MOST_COPIED

    def select(self, chosen: np.ndarray) -> Split:
        """Returns some of the examples, by index or by mask."""
        rows = np.arange(len(self.labels))[chosen]
        labels = self.labels[rows]
        files = self.files and tuple(self.files[row] for row in rows)
        if self.is_read_by_rows:
            return Split(Rows(self.images, rows), labels, files)
        return Split(self.images[rows], labels, files)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What is read of a dataset.

    Attributes:
        train: The training data.
        test: The test data.
        class_names: In the order of the labels.
        validation: The validation data; None if there are none of their own.
        skipped: Why files were left out, a sentence for each that names it.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    validation: Split | None = None
    skipped: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reading:
    """How images are read; the attributes are those of `datasets.load`."""

    image_size: tuple[int, int] | None = None
    resize: str = "crop"
    channels: int | None = None
    cache: str = "auto"
    skip_bad_files: bool = False
    test_fraction: float = 0.2
    show_progress: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset of images and their classes, their labels, numbers, or the classes of their pixels.

    Attributes:
        name: The value of `--dataset`.
        train: The training data.
        validation: The validation data, taken from the training data; may be empty.
        test: The test data.
        class_names: In the order of the labels; of numbers, the name of what they are.
        mean: float32 `[channels]`, of the training images scaled to 0..1.
        std: float32 `[channels]`, likewise.
        augment: Whether it is augmented by default.
        content: A hash of all examples; see `datasets.content`.
        skipped: Why files were left out, a sentence for each that names it.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    augment: bool
    content: str = ""
    skipped: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def multi_label(self) -> bool:
        """Whether images have several labels, or none, in place of a class."""
        return self.train.labels.ndim == 2 and not self.of_numbers

    @property
    def of_numbers(self) -> bool:
        """Whether images have a number in place of a class."""
        return self.train.labels.dtype.kind == "f"

    def labels_of(self, split: Split, index: int) -> str:
        """Returns the class of an example, or its labels, in words."""
        label = split.labels[index]
        chosen = np.flatnonzero(label) if self.multi_label else [label]
        return ", ".join(self.class_names[number] for number in chosen) or "no label"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.train.images.shape[1:])
