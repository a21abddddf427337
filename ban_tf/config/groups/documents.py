"""Text classification: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class DocumentOptions:
    """Text classification."""

    HEADING: ClassVar[str] = "Text classification"
    max_words: int = flag(
        10_000,
        "Words of the vocabulary, the most frequent ones of the training texts; others are "
        "unknown.",
        bounds=(1, 1_000_000),
        of_some_tasks=True,
    )
    max_length: int = flag(
        128,
        "Words of a text that are read, from its beginning.",
        bounds=(1, 100_000),
        of_some_tasks=True,
    )
