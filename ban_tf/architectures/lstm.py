"""Language models of long short-term memory, `lstm-LAYERS-UNITS`.

An embedding of words, LAYERS of LSTM, and logits by that same embedding (Press and Wolf, 2016),
with dropout between all of these but not within the recurrence (Zaremba et al., 2014).

`lstm-2-1500` has 51.0 million parameters for the 10,000 words of Penn Treebank, where Furlanello et
al., 2018, Table 6, print 52. The text of the paper mentions one layer; `lstm-1-1500` has 33.0.

Keras can run an LSTM in several ways on a CPU. Two layers of 256 units, 20 streams of 35 steps: a
training step took 538 ms with Keras's default (`use_cudnn="auto"`), 575 ms with `use_cudnn=False`,
686 ms unrolled, 923 ms unrolled under XLA (after three minutes of compiling) and 1112 ms under XLA
otherwise (medians, interleaved, a busy machine). So the default is used; on a GPU that is cuDNN.

References:
    Zaremba, Sutskever and Vinyals, 2014, "Recurrent Neural Network Regularization",
    arXiv 1409.2329.
    Press and Wolf, 2016, "Using the Output Embedding to Improve Language Models",
    arXiv 1608.05859.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "lstm-LAYERS-UNITS"
DEFAULT = "lstm-1-128"
NAMED = ("layers", "units")
TASK = "text"

# The range of initial weights of Zaremba et al.'s large network.
_RANGE = 0.04


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name such as `lstm-2-1500`.

    Raises:
        InputError: If the name has another form, or a number in it is zero.
    """
    return sizes.parse(name, FORM, DEFAULT)


def extent(layers: int, units: int, **options: Any) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return layers, 8 * layers * units**2


def build(
    vocabulary: Sequence[str],
    *,
    layers: int,
    units: int,
    batch_size: int | None = None,
    steps: int | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds an LSTM language model.

    Args:
        vocabulary: The words; only their number counts.
        layers: The number of stacked LSTMs.
        units: Units of each LSTM, and of the embedding.
        batch_size: The number of streams of a stateful model; None for a stateless one.
        steps: Words in a batch, or None for any number.
        dropout: The rate between layers.

    Returns:
        A model from words, int32 `[batch, steps]`, to float32 logits of the next words
        `[batch, steps, words]`.
    """
    import keras

    words = keras.Input((steps,), batch_size=batch_size, dtype="int32", name="words")
    embedding = keras.layers.ReversibleEmbedding(
        len(vocabulary),
        units,
        embeddings_initializer=keras.initializers.RandomUniform(-_RANGE, _RANGE),
        reverse_dtype="float32",
        name="embedding",
    )
    x = embedding(words)
    if dropout:
        x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    x = recurrent_layers(x, layers, units, dropout, batch_size is not None, _RANGE)
    logits = embedding(x, reverse=True)
    return keras.Model(words, logits, name=f"lstm_{layers}_{units}")


def recurrent_layers(
    x: Any, layers: int, units: int, dropout: float, stateful: bool, largest: float
) -> Any:
    """Stacks LSTMs with dropout after each, weights from ±`largest`; `[batch, steps, units]`."""
    import keras

    for layer in range(1, layers + 1):
        x = keras.layers.LSTM(
            units,
            kernel_initializer=keras.initializers.RandomUniform(-largest, largest),
            recurrent_initializer=keras.initializers.RandomUniform(-largest, largest),
            return_sequences=True,
            stateful=stateful,
            name=f"lstm{layer}",
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{layer}")(x)
    return x
