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
        "Born-again generations after generation 0; auto goes on until one is no better than "
        "the one before it on validation data, beyond its 95 % interval.",
        bounds=(0, 1000),
        may_change=True,
    )
    max_gens: int = flag(
        10,
        "How many generations auto may train.",
        bounds=(1, 1000),
        may_change=True,
        needs=(needs.AUTO,),
    )
