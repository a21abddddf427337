"""Words of texts as numbers in Python: what `tokenizing` does by a layer that needs TensorFlow."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
# As Keras's `TextVectorization`: only letters of ASCII are lowered, and only these characters are
# punctuation and white space.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_PUNCTUATION = re.compile(r"""[!-/:-@\[-`{-~]""")
_SPACE = re.compile(r"[ \t\n\v\f\r]+")


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case, without punctuation."""
    return [word for word in _SPACE.split(_PUNCTUATION.sub("", text.translate(_LOWER))) if word]


def learn(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """Returns the most frequent words of texts, by decreasing frequency; the last in order first.

    Args:
        texts: The training texts.
        most: How many words at most.
    """
    counts = collections.Counter(word for text in texts for word in words(text))
    return tuple(sorted(counts, key=lambda word: (counts[word], word), reverse=True)[:most])


def encode(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> np.ndarray:
    """Returns texts as numbers, int32 `[texts, length]`; see `tokenizing.layer`."""
    numbers = {word: number for number, word in enumerate(vocabulary, start=UNKNOWN + 1)}
    found = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(found, texts, strict=True):
        known = [numbers.get(word, UNKNOWN) for word in words(text)[:length]]
        row[: len(known)] = known
    return found
