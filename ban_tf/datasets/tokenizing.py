"""Words of texts as numbers: the vocabulary, and the layer that a saved model begins with.

The layer is Keras's `TextVectorization`: it lowers letters, strips punctuation and splits at white
space. 0 is padding and 1 an unknown word; the words of the vocabulary follow. Under other backends
than TensorFlow, which the layer needs, `plain_words` does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from ban_tf.datasets import plain_words
from ban_tf.datasets.plain_words import PADDING, UNKNOWN
from ban_tf.errors import InputError

_SPECIAL = 2  # numbers before those of the words
_AT_A_TIME = 1000


def count(vocabulary: Sequence[str]) -> int:
    """Returns how many different numbers there are: those of the words, padding and unknown."""
    return len(vocabulary) + _SPECIAL


def learn(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """Returns the most frequent words of texts, by decreasing frequency.

    Args:
        texts: The training texts.
        most: How many words at most.

    Raises:
        InputError: The texts have no words.
    """
    words = _learn(texts, most)
    if not words:
        raise InputError("the training texts have no words, only punctuation and white space.")
    return words


def _learn(texts: Sequence[str], most: int) -> tuple[str, ...]:
    if not takes_text():
        return plain_words.learn(texts, most)
    import tensorflow as tf

    layer = keras.layers.TextVectorization(max_tokens=most + _SPECIAL)
    layer.adapt(tf.data.Dataset.from_tensor_slices(list(texts)).batch(_AT_A_TIME))
    return tuple(str(word) for word in layer.get_vocabulary(include_special_tokens=False))


def takes_text() -> bool:
    """Returns whether models of the present backend can take text."""
    return keras.backend.backend() == "tensorflow"


def layer(vocabulary: Sequence[str], length: int) -> keras.layers.TextVectorization:
    """Returns the layer from texts, strings `[batch]`, to numbers, int64 `[batch, length]`.

    Args:
        vocabulary: The words.
        length: Words of a text that are read; shorter ones are padded with zeros.
    """
    return keras.layers.TextVectorization(
        vocabulary=list(vocabulary), output_sequence_length=length, name="words"
    )


def encode(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> np.ndarray:
    """Returns texts as numbers, int32 `[texts, length]`; see `layer`."""
    if not takes_text():
        return plain_words.encode(texts, vocabulary, length)
    import tensorflow as tf

    numbers = layer(vocabulary, length)
    parts = [
        numbers(tf.constant(list(texts[start : start + _AT_A_TIME]))).numpy()
        for start in range(0, len(texts), _AT_A_TIME)
    ]
    return np.concatenate([np.zeros((0, length), np.int32), *parts]).astype(np.int32)


def unknown_share(numbers: np.ndarray) -> float:
    """Returns the fraction of unknown words among the words of texts; 0 if there are none."""
    words = numbers[numbers != PADDING]
    return float(np.mean(words == UNKNOWN)) if len(words) else 0.0
