"""Randomness and repetition: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class SeedOptions:
    """Randomness and repetition."""

    HEADING: ClassVar[str] = "Randomness and repetition"
    seed: int = flag(
        0,
        "Where all randomness comes from.",
        bounds=(0, 2**31 - 1),
    )
    final_student: bool = flag(
        False,
        "Distil the ensemble of the born-again generations into one more student.",
        may_change=True,
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    seeds: int = flag(
        1,
        "Repeat the lineage from so many seeds, --seed and those after it, and compare.",
        bounds=(1, 1000),
        may_change=True,
    )
    augmentation_seed: int | None = flag(
        None,
        "Where crops and flips come from, if not from --seed; runs that have one teacher and "
        "one augmentation seed share its recording.",
        bounds=(0, 2**31 - 1),
        of_some_tasks=True,
        needs=(needs.AUGMENTED,),
    )
