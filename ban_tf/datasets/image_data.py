"""Images and labels in memory, split for training, validation and the final test."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples.

    Attributes:
        images: uint8 `[examples, height, width, channels]`.
        labels: int32 `[examples]`.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """A data set for image classification.

    Attributes:
        name: As it was asked for.
        train: What is learnt from.
        validation: Cut from the training data; what is chosen by. May be empty.
        test: What is reported.
        class_names: In the order of the labels.
        mean: float32 `[channels]`, of the training images scaled to 0..1.
        std: float32 `[channels]`, likewise.
        augment: Whether random crops and flips are customary.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    augment: bool

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.train.images.shape[1:])
