"""What students match: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag
from ban_tf.objectives import names as objective_names
from ban_tf.objectives.feature_names import FEATURE_LOSSES


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions:
    """What students match."""

    HEADING: ClassVar[str] = "What students match"
    objective: str = flag(
        "kd+labels",
        "What born-again generations learn from: "
        + ", ".join(objective_names.OF_CLASSES)
        + "; +labels adds the label term; package.module:function is your own. The default is the "
        "teacher's outputs beside the labels; the paper's BAN is kd. Where a number is predicted: "
        + ", ".join(objective_names.OF_VALUES)
        + " (also with +labels; by default mse+labels), or labels.",
    )
    label_weight: float | None = flag(
        None,
        "Weight of the label term; by default that of the objective.",
        bounds=(0.0, 1000000.0),
        needs=(needs.TEACHER,),
    )
    label_smoothing: float = flag(
        0.0,
        "Label smoothing, in all label losses.",
        bounds=(0.0, 0.99),
        needs=(needs.LABELS,),
    )
    temperature: float | None = flag(
        None,
        "Temperature of the objective; the loss is scaled by its square.",
        bounds=(0.001, 1000.0),
        needs=(needs.TEMPERATURE,),
    )
    tighten_epochs: float | None = flag(
        None,
        "Linearly anneal from the label loss to the teacher loss over the first N epochs.",
        bounds=(0.001, 1000000.0),
        needs=(needs.TEACHER,),
    )
    activation_weight: float | None = flag(
        None,
        "Weight of the squared difference between the activations of teacher and student, at "
        "the end of each resolution.",
        bounds=(0.0, 1000000000.0),
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    feature_weight: float | None = flag(
        None,
        "Weight of the loss between the features of teacher and student, which may have other "
        "widths and resolutions: projections are made and trained, and left out of the student.",
        bounds=(0.0, 1000000000.0),
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    feature_layers: str = flag(
        "auto",
        "Pairs of a layer of the teacher and one of the student, as A:B,C:D; auto: the ends of the "
        "stages of both.",
        of_some_tasks=True,
        needs=(needs.FEATURES,),
    )
    feature_loss: str = flag(
        "fitnets",
        "fitnets (squared difference), attention (maps of activity), cosine, or relational "
        "(distances and angles between examples).",
        choices=FEATURE_LOSSES,
        of_some_tasks=True,
        needs=(needs.FEATURES,),
    )
    mixup: float | None = flag(
        None,
        "Mix each example with another one, with weights from Beta(N, N), before teacher and "
        "student.",
        bounds=(0.001, 100.0),
        of_some_tasks=True,
    )
    cutmix: float | None = flag(
        None,
        "Paste a rectangle of another example into each, of an area from Beta(N, N), before "
        "teacher and student; beside --mixup, each batch has one of both.",
        bounds=(0.001, 100.0),
        of_some_tasks=True,
    )
