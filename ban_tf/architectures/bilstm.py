"""Text classifiers of bidirectional long short-term memory, `bilstm-LAYERS-UNITS`.

An embedding of words, LAYERS of LSTM that read the text in both directions, the mean over the
words, and logits. Padding is left out of the recurrence and of the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "bilstm-LAYERS-UNITS"
DEFAULT = "bilstm-1-64"
NAMED = ("layers", "units")
TASK = "documents"


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name; see `sizes.parse`."""
    return sizes.parse(name, FORM, DEFAULT)


def extent(layers: int, units: int, **options: object) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return layers, 16 * layers * units**2


def build(
    words: int,
    length: int | None,
    num_classes: int,
    *,
    layers: int,
    units: int,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a bidirectional LSTM.

    Args:
        words: The number of different words, with padding and the unknown word.
        length: Words of a text, or None for any number.
        num_classes: The number of logits.
        layers: The number of layers.
        units: Units of the embedding, and of each direction of a layer.
        dropout: The rate after the embedding and after each layer.

    Returns:
        A model from words, int32 `[batch, length]`, to float32 logits `[batch, num_classes]`.
    """
    import keras

    from ban_tf.architectures import text_blocks

    inputs, mask, x = text_blocks.begin(words, length, units, dropout)
    for layer in range(1, layers + 1):
        both = keras.layers.Bidirectional(
            keras.layers.LSTM(units, return_sequences=True), name=f"bilstm{layer}"
        )
        x = text_blocks.dropped(both(x, mask=mask), dropout, f"dropout{layer}")
    logits = text_blocks.classify(text_blocks.mean(x, mask), num_classes)
    return keras.Model(inputs, logits, name=f"bilstm_{layers}_{units}")
