"""Segmentation: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class MaskOptions:
    """Segmentation."""

    HEADING: ClassVar[str] = "Segmentation"
    void_label: int = flag(
        255,
        "The value of pixels of masks that have no class; -1 if every pixel has one.",
        bounds=(-1, 255),
        of_some_tasks=True,
        needs=(needs.MASK_FILES,),
    )
    skip_void: bool = flag(
        False,
        "Pixels without a class learn nothing; without this flag they learn from the teacher, by "
        "objectives that read no labels.",
        of_some_tasks=True,
        needs=(needs.TEACHER, needs.NO_LABELS_READ),
    )
