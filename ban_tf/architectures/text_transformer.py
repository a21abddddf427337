"""Transformer encoders for text classification, `text-transformer-LAYERS-UNITS`.

Embeddings of words and of their positions, LAYERS of attention and dense layers that normalize
first, the mean over the words, and logits. Padding is not attended to, and not averaged.

References:
    Vaswani et al., 2017, "Attention Is All You Need", arXiv 1706.03762.
    Xiong et al., 2020, "On Layer Normalization in the Transformer Architecture", arXiv 2002.04745.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "text-transformer-LAYERS-UNITS"
DEFAULT = "text-transformer-2-64"
NAMED = ("layers", "units")
TASK = "documents"


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name; see `sizes.parse`."""
    return sizes.parse(name, FORM, DEFAULT)


def extent(layers: int, units: int, **options: object) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return layers, 8 * layers * units**2


def build(
    words: int, length: int, num_classes: int, *, layers: int, units: int, dropout: float = 0.0
) -> keras.Model:
    """Builds a Transformer encoder.

    Args:
        words: The number of different words, with padding and the unknown word.
        length: Words of a text.
        num_classes: The number of logits.
        layers: The number of blocks.
        units: Units of the embeddings and of the blocks.
        dropout: The rate after the embedding, after attention and after the dense layers.

    Returns:
        A model from words, int32 `[batch, length]`, to float32 logits `[batch, num_classes]`.
    """
    import keras

    from ban_tf.architectures import text_blocks

    inputs, mask, x = text_blocks.begin(words, length, units, dropout)
    x = text_blocks.add_positions(x, inputs, length, units)
    for layer in range(1, layers + 1):
        x = text_blocks.attend(x, units, f"block{layer}", dropout, mask)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    logits = text_blocks.classify(text_blocks.mean(x, mask), num_classes)
    return keras.Model(inputs, logits, name=f"text_transformer_{layers}_{units}")
