"""The texts that a caller of `Run.predict` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.errors import InputError


def as_list(texts: Any, what: str = "texts") -> list[str]:
    """Returns texts as a list.

    Args:
        texts: A sequence, one-dimensional array or series of strings.
        what: What they are, for the error.

    Raises:
        InputError: It is something else, has no text, or has half a character.
    """
    if hasattr(texts, "__array__"):
        texts = np.asarray(texts).tolist()
    listed = isinstance(texts, Sequence) and not isinstance(texts, (str, bytes))
    if not listed or not texts or not all(isinstance(text, str) for text in texts):
        raise InputError(f"`inputs` must be a sequence of {what}. Received: {texts!r}"[:300])
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = text[error.start]
            raise InputError(
                f"`inputs` must be {what} that UTF-8 can encode; number {index} (from 0) has the "
                f"surrogate {half!r}, which is half a character."
            ) from error
    return list(texts)
