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
        "Seed of all randomness.",
        bounds=(0, 2**31 - 1),
    )
    final_student: bool = flag(
        False,
        "Distill the ensemble of the born-again generations into one more student.",
        may_change=True,
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    seeds: int = flag(
        1,
        "Repeat the lineage with N seeds, from --seed on, and compare.",
        bounds=(1, 1000),
        may_change=True,
    )
    augmentation_seed: int | None = flag(
        None,
        "Seed of the augmentation, by default --seed; runs with the same teacher and "
        "augmentation seed share its recording.",
        bounds=(0, 2**31 - 1),
        of_some_tasks=True,
        needs=(needs.AUGMENTED,),
    )
