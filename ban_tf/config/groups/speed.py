"""Speed: precision, compilation and devices: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class SpeedOptions:
    """Speed: precision, compilation and devices."""

    HEADING: ClassVar[str] = "Speed"
    precision: str = flag(
        "float32",
        "float32, mixed_bfloat16, mixed_float16, or auto: bfloat16 if it is fast.",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit: str = flag(
        "auto",
        "Compile the training step with XLA: yes, no, or auto (only on GPUs).",
        choices=("auto", "yes", "no"),
        of_some_tasks=True,
    )
    strategy: str = flag(
        "auto",
        "Distribution: one device; mirrored, all GPUs of this machine or the --virtual_devices; "
        "multiworker, the processes of TF_CONFIG or Slurm; or auto, all that are available.",
        choices=("auto", "one", "mirrored", "multiworker"),
        may_change=True,
    )
    virtual_devices: int | None = flag(
        None,
        "Split the processor into N devices, to try out mirrored.",
        bounds=(2, 64),
        may_change=True,
        needs=(needs.SEVERAL_DEVICES,),
    )
    worker_timeout: float = flag(
        600.0,
        "Seconds that workers wait for each other to start.",
        bounds=(1.0, 1000000.0),
        may_change=True,
        needs=(needs.SEVERAL_WORKERS,),
    )
    sync_batch_norm: bool = flag(
        False,
        "Normalize by the statistics of the whole batch, not of each replica's part.",
        of_some_tasks=True,
        needs=(needs.SEVERAL_DEVICES,),
    )
    steps_per_execution: int | None = flag(
        None,
        "Steps per call of TensorFlow; must divide the steps of an epoch. By default 1, and up "
        "to 10 on GPUs.",
        bounds=(1, 1_000_000),
        may_change=True,
        of_some_tasks=True,
    )
    eval_batch_size: int | None = flag(
        None,
        "Images in a batch of evaluation and of recording teachers; by default as many as fit into "
        "memory, at most 500.",
        bounds=(1, 1_000_000),
        may_change=True,
        of_some_tasks=True,
    )
    deterministic: bool = flag(
        False,
        "Make every operation deterministic.",
    )
    threads: int | None = flag(
        None,
        "Threads within an operation, on which the last bits of results depend; by default one "
        "for each core.",
        bounds=(1, 1024),
        may_change=True,
    )
