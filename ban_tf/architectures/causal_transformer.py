"""Transformer language models, `causal-transformer-LAYERS-UNITS`.

An embedding of words, sines of their positions, LAYERS of attention to the words before and of
dense layers that normalize first, and logits by that same embedding. Unlike an LSTM it carries
nothing from batch to batch: its context is the --unroll words of a batch. Adam suits it, with a
learning rate of 0.001 to 0.003, where the default on text suits an LSTM.

References:
    Vaswani et al., 2017, "Attention Is All You Need", arXiv 1706.03762.
    Radford et al., 2018, "Improving Language Understanding by Generative Pre-Training".
    Press and Wolf, 2016, "Using the Output Embedding to Improve Language Models",
    arXiv 1608.05859.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "causal-transformer-LAYERS-UNITS"
DEFAULT = "causal-transformer-2-128"
NAMED = ("layers", "units")
TASK = "text"


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name; see `sizes.parse`."""
    return sizes.parse(name, FORM, DEFAULT)


def extent(layers: int, units: int, **options: object) -> tuple[int, int]:
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
    """Builds a Transformer language model.

    Args:
        vocabulary: The words; only their number counts.
        layers: The number of blocks.
        units: Units of the embedding and of the blocks.
        batch_size: The number of streams, or None for any.
        steps: Words in a batch, or None for any number.
        dropout: The rate after the embedding, after attention and after the dense layers.

    Returns:
        A model from words, int32 `[batch, steps]`, to float32 logits of the next words
        `[batch, steps, words]`.
    """
    import keras

    from ban_tf.architectures import text_blocks

    words = keras.Input((steps,), batch_size=batch_size, dtype="int32", name="words")
    embedding = keras.layers.ReversibleEmbedding(
        len(vocabulary),
        units,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=units**-0.5),
        reverse_dtype="float32",
        name="embedding",
    )
    # Vaswani et al., section 3.4: words are then as large as the sines, and logits near one.
    x = embedding(words) * units**0.5
    x = text_blocks.add_sines(x, words, units)
    x = text_blocks.dropped(x, dropout, "embedding_dropout")
    for layer in range(1, layers + 1):
        x = text_blocks.attend(x, units, f"block{layer}", dropout, causal=True)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    logits = embedding(x, reverse=True)
    return keras.Model(words, logits, name=f"causal_transformer_{layers}_{units}")
