"""The teachers: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class TeacherOptions:
    """The teachers."""

    HEADING: ClassVar[str] = "Teachers"
    teacher: str = flag(
        "previous",
        "Who teaches: previous, ensemble (all before, averaged) or first.",
        choices=("previous", "ensemble", "first"),
        needs=(needs.TEACHER,),
    )
    teacher_from: str | None = flag(
        None,
        "A trained .keras model to be generation 0.",
        of_some_tasks=True,
        may_be_empty=True,
    )
    teacher_signal: str = flag(
        "auto",
        "Whether the teacher is asked in each step (online) or its outputs are recorded "
        "beforehand (recorded); auto records where that saves time, changes nothing and the "
        "disk has room.",
        choices=("auto", "online", "recorded"),
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    teacher_precision: str = flag(
        "same",
        "What the teacher computes in while a student learns from it: as the student (same), "
        "the fastest for this machine (auto), or one of those of --precision. Unless it is the "
        "same, its batch normalisation is folded into its convolutions.",
        choices=("same", "auto", "float32", "mixed_bfloat16", "mixed_float16"),
        needs=(needs.TEACHER,),
    )
    teacher_views: int | None = flag(
        None,
        "How many different crops and flips of each image born-again students see: view e "
        "modulo N in epoch e; by default as many as epochs. Fewer are cheaper to record.",
        bounds=(1, 1_000_000),
        of_some_tasks=True,
        needs=(needs.TEACHER, needs.AUGMENTED),
    )
    teacher_top: int | None = flag(
        None,
        "Record the N most likely classes and spread the rest evenly; all by default.",
        bounds=(1, 65535),
        of_some_tasks=True,
        needs=(needs.TEACHER, needs.RECORDED),
    )
    recordings: str | None = flag(
        None,
        "Where recorded teachers are kept, for all runs that can use them; runs/recordings by "
        "default, or recordings in --workdir.",
        may_change=True,
        of_some_tasks=True,
        needs=(needs.TEACHER, *needs.MAY_RECORD),
        may_be_empty=True,
    )
    ensemble_average: str = flag(
        "probabilities",
        "What ensembles average: probabilities or logits.",
        choices=("probabilities", "logits"),
    )
