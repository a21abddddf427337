"""The augmented views of training images that a run sees, for recording a teacher in advance."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ban_tf.datasets.image_data import ImageData
from ban_tf.errors import InputError
from ban_tf.system import flag_names, seeds
from ban_tf.system.arguments import check_count

_BATCH = 512


@flag_names.as_arguments()
def views(data: ImageData, augment: str, seed: int = 0, count: int = 1) -> dict[str, Any]:
    """Returns the arguments of `ban_tf.record` for the views of a run's training images.

    A run with `--teacher_from=recording:PATH`, the same `--augment`, `--augmentation_seed` and
    training images sees these views, one in each epoch, and again from the first after the last.

    Example:
        ```python
        data = ban_tf.datasets.load("digits")
        views = ban_tf.datasets.views(data, "crop", count=2)
        of_view = views["data"]
        images = of_view(0)  # what a teacher is given of the first view
        ```

    Args:
        data: As from `ban_tf.datasets.load` with the seed and fractions of the run.
        augment: The augmentation: "none", "crop", "standard" or "strong".
        seed: The value of `--augmentation_seed` (or `--seed`).
        count: How many views; `--epochs` for a new one in each epoch.

    Returns:
        `data`, a function of the view that returns float32 images of 0..255, `[examples, height,
        width, channels]`; `keys`, `views` and `augmentation`.

    Raises:
        InputError: An argument is invalid.
    """
    from ban_tf.datasets import pipeline, policies

    if not isinstance(data, ImageData):
        raise InputError(f"`data` must be what `ban_tf.datasets.load` returns. Received: {data!r}")
    seed, count = check_count("seed", seed, least=0), check_count("count", count, least=1)
    if not isinstance(augment, str) or augment not in policies.POLICIES:
        known = ", ".join(policies.POLICIES)
        raise InputError(f"`augment` must be one of {known}. Received: {augment!r}")
    policies.check(augment, data.input_shape)
    channels = data.input_shape[-1]
    raw = ImageData(
        *(data.name, data.train, data.validation, data.test, data.class_names),
        np.zeros(channels, np.float32),
        np.full(channels, 1 / 255, np.float32),
        data.augment,
    )

    @functools.lru_cache(maxsize=1)
    def of_view(view: int) -> np.ndarray:
        batches = pipeline.view_batches(
            raw, batch_size=_BATCH, view_seed=view_seed(seed), view=view, augment=augment
        )
        return np.concatenate([np.asarray(batch) for batch in batches])

    return {
        "data": of_view,
        "keys": data.train.images,
        "views": count if augment != "none" else 1,
        "augmentation": describe(augment, seed),
    }


def view_seed(seed: int, place: Any = 0) -> int:
    """Returns the seed of the views that a generation sees.

    Args:
        seed: The value of `--augmentation_seed`.
        place: The generation, or a name for all that see the same.
    """
    return seeds.derive_seed(seed, "views", place)


def describe(augment: str, seed: int) -> dict[str, Any]:
    """Returns what the views depend on, for the manifest of a recording."""
    from ban_tf.datasets import pipeline

    if augment == "none":
        return {"policy": "none"}
    return {"policy": augment, "seed": seed, "format": pipeline.VIEW_FORMAT}
