"""Character-aware language models (Kim et al., 2016), `cnn-lstm-LAYERS-UNITS`.

A word is the string of its characters, each of 15 numbers; convolutions over 1 to 7 characters
with tanh, the maximum over all positions, two highway layers, LAYERS of LSTM, and a dense layer to
the logits. With fewer than 650 units it is their small network: convolutions over 1 to 6
characters, half as many filters, and one highway layer. Dropout is after each LSTM, not before the
first one, and all initial weights are within ±0.05, as in their networks.

`cnn-lstm-2-650` has 19.4 million parameters for the 10,000 words of Penn Treebank; Kim et al. and
Furlanello et al., 2018, Table 6, print 19.

The characters of each word of the vocabulary are a table inside the model, which is not trained:
models take words, and are loaded without this package. Of a word of more than 64 characters, such
as an address, the first 64 are used: the table, and the memory of a step, are as wide as the
longest word.

References:
    Kim, Jernite, Sontag and Rush, 2016, "Character-Aware Neural Language Models",
    arXiv 1508.06615.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.architectures import lstm, sizes

if TYPE_CHECKING:
    import keras

FORM = "cnn-lstm-LAYERS-UNITS"
DEFAULT = "cnn-lstm-1-128"
NAMED = ("layers", "units")
TASK = "text"

_CHARACTER_SIZE = 15
_LARGE = 650
# The range of initial weights.
_RANGE = 0.05
_PADDING, _START, _STOP = 0, 1, 2
_LONGEST = 64  # characters of a word that are used; Kim et al. have 65 with start and stop


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name such as `cnn-lstm-2-650`.

    Raises:
        InputError: If the name has another form, or a number in it is zero.
    """
    return sizes.parse(name, FORM, DEFAULT)


def extent(layers: int, units: int, **options: Any) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return lstm.extent(layers, units)


def characters(vocabulary: Sequence[str], least: int) -> np.ndarray:
    """Spells each word between a start and a stop, padded with zeros.

    Words are cut after 64 characters.

    Args:
        vocabulary: The words.
        least: The minimum number of positions, even if all words are shorter.

    Returns:
        Character indices, int32 `[words, positions]`.
    """
    vocabulary = [word[:_LONGEST] for word in vocabulary]
    known = sorted({letter for word in vocabulary for letter in word})
    numbers = {letter: number for number, letter in enumerate(known, start=_STOP + 1)}
    places = max(least, max(map(len, vocabulary)) + 2)
    table = np.full((len(vocabulary), places), _PADDING, np.int32)
    for row, word in zip(table, vocabulary, strict=True):
        row[: len(word) + 2] = [_START, *(numbers[letter] for letter in word), _STOP]
    return table


def build(
    vocabulary: Sequence[str],
    *,
    layers: int,
    units: int,
    batch_size: int | None = None,
    steps: int | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a character-aware language model; arguments and result as for `lstm.build`."""
    import keras

    large = units >= _LARGE
    widths = range(1, 8 if large else 7)
    filters = [min(200, 50 * width) if large else 25 * width for width in widths]
    table = characters(vocabulary, least=max(widths))

    words = keras.Input((steps,), batch_size=batch_size, dtype="int32", name="words")
    # float32 for any policy: half precision cannot represent all token ids exactly.
    spelling = keras.layers.Embedding(
        *table.shape, trainable=False, dtype="float32", name="spelling"
    )
    x = keras.ops.cast(spelling(words), "int32")
    spelling.set_weights([table])
    x = keras.layers.Embedding(
        int(table.max()) + 1,
        _CHARACTER_SIZE,
        embeddings_initializer=_uniform(),
        name="characters",
    )(x)
    x = keras.layers.Concatenate(name="word")(
        [
            # [batch, steps, characters, 15] -> [batch, steps, filters]
            keras.ops.max(
                keras.layers.Conv2D(
                    count,
                    (1, width),
                    activation="tanh",
                    kernel_initializer=_uniform(),
                    name=f"convolution{width}",
                )(x),
                axis=2,
            )
            for width, count in zip(widths, filters, strict=True)
        ]
    )
    for layer in range(1, 3 if large else 2):
        x = _highway(x, f"highway{layer}")
    x = lstm.recurrent_layers(x, layers, units, dropout, batch_size is not None, _RANGE)
    logits = keras.layers.Dense(
        len(vocabulary), kernel_initializer=_uniform(), dtype="float32", name="logits"
    )(x)
    return keras.Model(words, logits, name=f"cnn_lstm_{layers}_{units}")


def _highway(x: Any, name: str) -> Any:
    """Applies a highway layer: t · relu(W x) + (1 - t) · x."""
    import keras

    size = x.shape[-1]
    # Kim et al.: initially the layer is nearly the identity.
    gate = keras.layers.Dense(
        size,
        activation="sigmoid",
        kernel_initializer=_uniform(),
        bias_initializer=keras.initializers.Constant(-2.0),
        name=f"{name}_gate",
    )(x)
    transformed = keras.layers.Dense(
        size, activation="relu", kernel_initializer=_uniform(), name=f"{name}_transform"
    )(x)
    return gate * transformed + (1.0 - gate) * x


def _uniform() -> keras.initializers.Initializer:
    import keras

    return keras.initializers.RandomUniform(-_RANGE, _RANGE)
