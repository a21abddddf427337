"""The run, and what is seen of it: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The run, and what is seen of it."""

    HEADING: ClassVar[str] = "The run, and what is seen of it"
    workdir: str | None = flag(
        None,
        "Directory of the run; runs/<dataset>-<arch>-<objective>-<seed> by default.",
        may_change=True,
    )
    analyse: bool | None = flag(
        None,
        "Analyze the gradient of distillation after each epoch: analysis.png.",
        needs=(needs.TEACHER,),
    )
    callbacks: str | None = flag(
        None,
        "package.module:function that returns further Keras callbacks, such as those of a tracker; "
        "it is called with the run, a ban_tf.Run, and the number of each generation to train.",
        may_change=True,
        may_be_empty=True,
    )
    progress: str = flag(
        "auto",
        "auto (a bar on a terminal), lines or none.",
        choices=("auto", "lines", "none"),
        may_change=True,
    )
    report: bool = flag(
        True,
        "Write report.html, and its figures for TensorBoard, at the end of the run; with "
        "--noreport, ban-tf report writes it later.",
        may_change=True,
    )
    tensorflow_log: bool = flag(
        False,
        "Show TensorFlow's own messages.",
        may_change=True,
    )
    profile: bool = flag(
        False,
        "Record the graph and a profile of a few steps of each generation for TensorBoard, "
        "which shows profiles with pip install tensorboard-plugin-profile.",
        may_change=True,
    )
