"""Convolutional text classifiers, `text-cnn-FILTERS`.

An embedding of words, convolutions over 3, 4 and 5 neighboring words with FILTERS each, their
maxima over the text, and logits (Kim, 2014). Padding is like the text's end: its embedding is zero,
and it has no part in the maxima.

References:
    Kim, 2014, "Convolutional Neural Networks for Sentence Classification", arXiv 1408.5882.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

FORM = "text-cnn-FILTERS"
DEFAULT = "text-cnn-64"
NAMED = ("filters",)
TASK = "documents"

_WIDTHS = (3, 4, 5)
_EMBEDDING = 64  # units


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name such as `text-cnn-100`.

    Raises:
        InputError: It has another form, or its number is zero.
    """
    match = re.fullmatch(r"text-cnn-(\d+)", name)
    if not match or int(match[1]) < 1:
        raise InputError(
            f"--arch={name}: this text classifier is named {FORM}, for example text-cnn-100"
        )
    return {"filters": int(match[1])}


def extent(filters: int, **options: object) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return 1, sum(_WIDTHS) * _EMBEDDING * filters


def build(
    words: int, length: int | None, num_classes: int, *, filters: int, dropout: float = 0.0
) -> keras.Model:
    """Builds a convolutional text classifier.

    Args:
        words: The number of different words, with padding and the unknown word.
        length: Words of a text, or None for any number.
        num_classes: The number of logits.
        filters: Filters of each width.
        dropout: The rate after the embedding and before the logits.

    Returns:
        A model from words, int32 `[batch, length]`, to float32 logits `[batch, num_classes]`.
    """
    import keras

    from ban_tf.architectures import text_blocks

    inputs, mask, x = text_blocks.begin(words, length, _EMBEDDING, dropout)
    x = text_blocks.only(x, mask)
    pooled = []
    for width in _WIDTHS:
        y = keras.layers.Conv1D(
            filters, width, padding="same", activation="relu", name=f"convolution{width}"
        )(x)
        # Zero is the least that ReLU returns, so that padding is never the only maximum.
        pooled.append(
            keras.layers.GlobalMaxPooling1D(dtype="float32", name=f"pooling{width}")(
                text_blocks.only(y, mask)
            )
        )
    x = keras.layers.Concatenate(dtype="float32", name="features")(pooled)
    x = text_blocks.dropped(x, dropout, "dropout")
    logits = text_blocks.classify(x, num_classes)
    return keras.Model(inputs, logits, name=f"text_cnn_{filters}")
