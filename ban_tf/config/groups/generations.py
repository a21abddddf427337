"""How many generations there are: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class GenerationOptions:
    """How many generations there are."""

    HEADING: ClassVar[str] = "Generations"
    gens: int | str = flag(
        3,
        "Born-again generations after generation 0; auto continues until one is not "
        "significantly better than the last on validation data (95 % interval).",
        bounds=(0, 1000),
        may_change=True,
    )
    max_gens: int = flag(
        10,
        "Maximum number of generations with --gens=auto.",
        bounds=(1, 1000),
        may_change=True,
        needs=(needs.AUTO,),
    )
