"""Models of texts: the layer that makes numbers of words, around a network of these numbers."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import keras

from ban_tf.datasets import tokenizing
from ban_tf.runs import reading


def taking_texts(model: keras.Model, vocabulary: Sequence[str], length: int) -> keras.Model:
    """Returns a model from texts, strings `[batch]`, whose words it makes numbers of.

    Args:
        model: A model of the numbers of words, int32 `[batch, length]`.
        vocabulary: The known words.
        length: Words of a text that are read.

    Returns:
        A model of stock Keras layers around the given one, with its outputs; `model` itself under
        another backend than TensorFlow, which has no tensors of text.
    """
    if not tokenizing.takes_text():
        return model
    texts = keras.Input((), dtype="string", name="texts")
    numbers = keras.ops.cast(tokenizing.layer(vocabulary, length)(texts), "int32")
    return keras.Model(texts, model(numbers), name="text_classifier")


def inner(model: keras.Model) -> keras.Model | None:
    """Returns the model that `taking_texts` was given; None if there is none in it."""
    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def network_of(
    model: keras.Model, vocabulary: Sequence[str], length: int, path: pathlib.Path
) -> keras.Model | None:
    """Returns the model that `taking_texts` was given; None if it is one of other words.

    Args:
        model: Any model.
        vocabulary: The known words.
        length: Words of a text that are read.
        path: Where the model was read from: the run there has the words of one that takes numbers.
    """
    layers = getattr(model, "layers", ())
    found = [layer for layer in layers if isinstance(layer, keras.layers.TextVectorization)]
    network = inner(model) if found else model
    if network is None or getattr(network, "input_shape", None) != (None, length):
        return None
    known: Sequence[str] = (
        found[0].get_vocabulary(include_special_tokens=False)
        if found
        else reading.of_run_around(path, reading.read_vocabulary) or ()
    )
    return network if tuple(map(str, known)) == tuple(vocabulary) else None
