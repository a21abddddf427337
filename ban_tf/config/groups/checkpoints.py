"""What is kept, and what a resumed run does: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """What is kept, and what a resumed run does."""

    HEADING: ClassVar[str] = "Keeping and resuming"
    monitor: str = flag(
        "val_accuracy",
        "The accuracy by which --checkpoint=best chooses an epoch, and which is compared with "
        "chance; val_balanced_accuracy is the mean over the classes, for those of unequal size.",
        choices=("val_accuracy", "val_balanced_accuracy"),
        of_some_tasks=True,
        needs=(needs.VALIDATED,),
    )
    checkpoint: str = flag(
        "last",
        "Weights that a generation keeps: last, or best by validation.",
        choices=("last", "best"),
    )
    checkpoint_steps: int | None = flag(
        None,
        "Save every N steps, and at the end of each epoch.",
        bounds=(1, 1_000_000_000),
        may_change=True,
    )
    on_divergence: str = flag(
        "stop",
        "If the loss becomes NaN or infinite: stop, or retry once from the last checkpoint at a "
        "tenth of the learning rate.",
        choices=("stop", "retry"),
        may_change=True,
    )
