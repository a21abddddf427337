"""Building blocks of networks for text: masks over padding, positions, attention.

Padding counts for nothing: it is left out of the recurrence, of attention and of what is averaged
or maximized over the words. Masks are computed from the words, where 0 is padding; the first word
always counts, so that an empty text has one. All layers are Keras's own.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

_HEAD = 32  # units of an attention head


def begin(words: int, length: int | None, units: int, dropout: float) -> tuple[Any, Any, Any]:
    """Returns the input, its mask and its embedding.

    Args:
        words: The number of different words, with padding and the unknown word.
        length: Words of a text, or None for any number.
        units: Units of the embedding.
        dropout: The rate after the embedding.

    Returns:
        Words int32 `[batch, length]`, which of them count, bool `[batch, length]`, and float
        `[batch, length, units]`.
    """
    inputs = keras.Input((length,), dtype="int32", name="words")
    following = ops.not_equal(inputs[:, 1:], 0)
    mask = ops.pad(following, ((0, 0), (1, 0)), constant_values=True)
    x = keras.layers.Embedding(words, units, name="embedding")(inputs)
    return inputs, mask, dropped(x, dropout, "embedding_dropout")


def dropped(x: Any, rate: float, name: str) -> Any:
    """Applies dropout, unless the rate is zero."""
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


def only(x: Any, mask: Any) -> Any:
    """Sets what is computed of padding to zero, `[batch, length, units]`."""
    return x * ops.cast(ops.expand_dims(mask, -1), x.dtype)


def mean(x: Any, mask: Any) -> Any:
    """Returns the mean over the words that count, float32 `[batch, units]`."""
    x, counts = ops.cast(x, "float32"), ops.cast(ops.expand_dims(mask, -1), "float32")
    return ops.sum(x * counts, axis=1) / ops.sum(counts, axis=1)


def classify(x: Any, num_classes: int) -> Any:
    """Applies a dense layer; float32 logits `[batch, num_classes]`."""
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)


def add_positions(x: Any, inputs: Any, length: int, units: int) -> Any:
    """Adds a learned embedding of positions to one of words, `[batch, length, units]`.

    Args:
        x: The embedding of the words.
        inputs: The words.
        length: The number of positions.
        units: Units of the embedding.
    """
    positions = ops.cumsum(ops.ones_like(inputs), axis=1) - 1
    return x + keras.layers.Embedding(length, units, name="positions")(positions)


def add_sines(x: Any, inputs: Any, units: int) -> Any:
    """Adds sines and cosines of positions, of any number, to an embedding of words.

    Args:
        x: The embedding of the words, `[batch, length, units]`.
        inputs: The words.
        units: Units of the embedding.
    """
    positions = ops.cast(ops.cumsum(ops.ones_like(inputs), axis=1) - 1, "float32")
    half = (units + 1) // 2
    rates = np.exp(-np.log(10_000.0) * np.arange(half) / half).astype("float32")
    angles = ops.expand_dims(positions, -1) * rates
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    return x + ops.cast(waves[..., :units], x.dtype)


def attend(
    x: Any, units: int, name: str, dropout: float, mask: Any = None, causal: bool = False
) -> Any:
    """Applies a Transformer block that normalizes first (Xiong et al., 2020).

    Args:
        x: `[batch, length, units]`.
        units: Its units.
        name: The beginning of the names of its layers.
        dropout: The rate after attention and after the dense layers.
        mask: Which words are attended to, bool `[batch, length]`; None for all.
        causal: Whether a word attends only to itself and to those before it.

    Returns:
        `[batch, length, units]`.
    """
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    size = min(units, _HEAD)
    attention = keras.layers.MultiHeadAttention(units // size, size, name=f"{name}_attention")
    seen = None if mask is None else ops.expand_dims(mask, 1)
    y = attention(y, y, attention_mask=seen, use_causal_mask=causal)
    x = x + dropped(y, dropout, f"{name}_attention_dropout")
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = keras.layers.Dense(4 * units, activation="gelu", name=f"{name}_dense1")(y)
    y = keras.layers.Dense(units, name=f"{name}_dense2")(y)
    return x + dropped(y, dropout, f"{name}_dropout")
