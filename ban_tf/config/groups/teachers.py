"""The teachers: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.architectures import pixels
from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class TeacherOptions:
    """The teachers."""

    HEADING: ClassVar[str] = "Teachers"
    teacher: str = flag(
        "previous",
        "The teacher: the previous generation, the ensemble of all before, or the first.",
        choices=("previous", "ensemble", "first"),
        needs=(needs.TEACHER,),
    )
    teacher_from: str | None = flag(
        None,
        "A pretrained .keras model to use as generation 0; or a teacher of generation 0: "
        "recording:PATH, several models, a.keras:0.7,b.keras:0.3, or a model of ONNX, TorchScript, "
        "torch.export or a SavedModel (docs/how-to/teacher.md). An "
        "empty value takes back that of a flagfile, as for --student_arch, --data_dir and "
        "--recordings.",
        of_some_tasks=True,
        may_be_empty=True,
    )
    teacher_input: str = flag(
        "auto",
        "Pixels that the model of --teacher_from takes, as for --input, or caffe (0..255 less a "
        "mean, blue first); auto: as recorded of a run, or by its first layers.",
        choices=("auto", *pixels.TEACHER_FORMS),
        of_some_tasks=True,
        needs=(needs.GIVEN_TEACHER,),
    )
    teacher_classes: str | None = flag(
        None,
        "A CSV file with the classes of --teacher_from, in the order of its outputs, in the column "
        "teacher, and the classes that they are here in the column student: empty for the same "
        "name, - for none.",
        of_some_tasks=True,
        needs=(needs.GIVEN_TEACHER,),
    )
    teacher_signal: str = flag(
        "auto",
        "Run the teacher in each step (online) or record its outputs in advance (recorded); "
        "auto records those for whole images if that saves time, does not change the result and "
        "the disk has space, and no others.",
        choices=("auto", "online", "recorded"),
        of_some_tasks=True,
        needs=(needs.TEACHER,),
    )
    teacher_precision: str = flag(
        "same",
        "Precision of the teacher during distillation: the student's (same), the fastest on "
        "this machine (auto), or a value of --precision. Unless it is same, batch normalization "
        "is folded into the convolutions.",
        choices=("same", "auto", "float32", "mixed_bfloat16", "mixed_float16"),
        needs=(needs.TEACHER,),
    )
    teacher_views: int | None = flag(
        None,
        "Number of different augmented views of each image for born-again students: view e modulo "
        "N in epoch e; by default one per epoch. Fewer are cheaper to record.",
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
        "Directory of recorded teacher outputs and features of frozen backbones, shared between "
        "runs; runs/recordings by default, or recordings in --workdir.",
        may_change=True,
        of_some_tasks=True,
        needs=(needs.TEACHER_OR_FEATURES, *needs.MAY_RECORD),
        may_be_empty=True,
    )
    ensemble_average: str = flag(
        "probabilities",
        "Ensembles average probabilities or logits.",
        choices=("probabilities", "logits"),
    )
