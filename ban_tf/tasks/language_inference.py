"""Trained language models on new text: perplexity, next words, and models that take lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ban_tf import architectures
from ban_tf.compat import outputs
from ban_tf.config.options import ARCHITECTURE
from ban_tf.datasets import text
from ban_tf.errors import InputError
from ban_tf.metrics import summary, tokens
from ban_tf.runs import reading, trained
from ban_tf.tasks import language_scores
from ban_tf.tasks.language_training import reset_states

# The last words of a line that the next one is predicted from.
CONTEXT = 256
_LINES = 16  # at a time, for a model that takes any number


def evaluate(run: reading.RunReader, dataset: str) -> dict[str, Any]:
    """Measures the generations of a run, and their ensembles, on a text.

    The words are those of the run's vocabulary; the text is read in as many streams as in training.

    Args:
        run: The run.
        dataset: See `text.read_test`.

    Returns:
        A summary; see `report.summary`. Its rows have `perplexity` and `perplexity_interval` too,
        and its `run` has `unknown_words`, their share.

    Raises:
        InputError: The text cannot be read, or the run has no vocabulary.
    """
    vocabulary, settings = reading.read_vocabulary(run), reading.settings(run)
    words = text.encode(text.read_test(dataset), vocabulary)
    unknown = text.unknown_share(vocabulary, words)
    language_scores.warn_of_unknown_words(unknown, "given")
    finished = reading.finished_generations(run)
    models = [trained.load(run, str(number)) for number in finished]
    average = settings.get("ensemble_average", "probabilities")
    scores = language_scores.score(
        models,
        summary.groups(len(models)),
        (settings["batch_size"], settings["unroll"]),
        words,
        average,
    )
    rows = [
        {
            **tokens.evaluate(each, scores[0] if index else None),
            "perplexity_interval": tokens.perplexity_interval(each),
        }
        for index, each in enumerate(scores)
    ]
    about = {
        "dataset": dataset,
        "architecture": settings.get("arch", "unknown"),
        "objective": settings.get("objective", "unknown"),
        "seed": settings.get("seed", 0),
        "unknown_words": unknown,
    }
    known = run.metadata.get("generations", {})
    members = [summary.Member(number, known[str(number)]["taught_by"], None) for number in finished]
    return summary.assemble(about, members, rows, average)


def next_words(
    run: reading.RunReader, lines: Sequence[Sequence[str]], which: str = "ensemble"
) -> np.ndarray:
    """Returns the probabilities of the word after each line, float64 `[lines, words]`.

    A line is read from its start, as after the end of another one; of a longer one, its last
    `CONTEXT` words.

    Args:
        run: The run, whose vocabulary the columns are in the order of.
        lines: The words of each line.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: There is no such model or no vocabulary, or a word cannot be encoded.
    """
    vocabulary = reading.read_vocabulary(run)
    contexts = [text.encode([text.END, *line], vocabulary)[-CONTEXT:] for line in lines]
    language_scores.warn_of_unknown_words(
        text.unknown_share(vocabulary, np.concatenate(contexts)), "given"
    )
    model = trained.load(run, which)
    activation = next(iter(outputs.final_activations(model).values()), "linear")
    at_a_time = model.input_shape[0] or _LINES  # one that keeps its state has a fixed number
    found = []
    for start in range(0, len(contexts), at_a_time):
        some = contexts[start : start + at_a_time]
        # What stands behind a line does not change what is predicted within it.
        inputs = np.zeros((at_a_time, max(map(len, some))), np.int32)
        for row, context in zip(inputs, some, strict=False):
            row[: len(context)] = context
        reset_states(model)
        raw = np.asarray(model(inputs, training=False))
        last = np.stack([raw[row, len(context) - 1] for row, context in enumerate(some)])
        logits = outputs.to_logits(tf.constant(last), activation)
        found.append(np.asarray(tf.nn.softmax(tf.cast(logits, tf.float64))))
    return np.concatenate(found)


def stateless(run: reading.RunReader, which: str) -> keras.Model:
    """Loads a model that starts every batch from its start, for any number of rows.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.
    """
    loaded = trained.load(run, which)
    if which == trained.ENSEMBLE:
        return loaded
    settings = reading.settings(run)
    name = settings["arch"] if which == "0" else settings.get("student_arch") or settings["arch"]
    chosen = {flag: settings.get(flag) for flag in ARCHITECTURE}
    chosen = {flag: chosen[flag] for flag in architectures.settings(name) & set(chosen)}
    model = architectures.build_language_model(name, reading.read_vocabulary(run), **chosen)
    model.set_weights(loaded.get_weights())
    return model


def predictor(model: keras.Model, vocabulary: Sequence[str]) -> keras.Model:
    """Puts the vocabulary and softmax around a model.

    Args:
        model: From words int32 `[batch, steps]` to logits or probabilities; keeps no state.
        vocabulary: Its words.

    Returns:
        A model of stock Keras layers from lines, strings `[batch]` of words parted by white space,
        to the probabilities of the next word, float32 `[batch, words]`. Words that are not in the
        vocabulary count as `<unk>`, or as the end of a line where the vocabulary has no `<unk>`.
    """
    ops, end = keras.ops, list(vocabulary).index(text.END)
    unknown = list(vocabulary).index(text.UNKNOWN) if text.UNKNOWN in vocabulary else end
    lines = keras.Input((), dtype="string", name="lines")
    # Numbers words from 2 on; 0 is padding and 1 an unknown word.
    numbers = keras.layers.TextVectorization(
        standardize=None, split="whitespace", vocabulary=list(vocabulary), name="vocabulary"
    )(lines)
    length = ops.sum(ops.cast(ops.not_equal(numbers, 0), "int32"), axis=1)
    indices = ops.cast(numbers, "int32") - 2
    indices = ops.where(ops.equal(indices, -1), unknown, ops.maximum(indices, 0))
    indices = ops.pad(indices, ((0, 0), (1, 0)), constant_values=end)  # a line follows another one
    results = ops.take_along_axis(model(indices), ops.reshape(length, (-1, 1, 1)), axis=1)[:, 0]
    if trained.gives(model) == "logits":
        results = keras.layers.Softmax(dtype="float32", name="probabilities")(results)
    return keras.Model(lines, results, name="next_word")


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model to be exported, and what its manifest says of it.

    Raises:
        InputError: The format cannot hold strings.
    """
    if preprocessing and to not in ("saved_model", "keras"):
        raise InputError(
            f"--preprocessing has the model take strings, which --to={to} cannot hold; use "
            "--to=saved_model or keras, or leave it out."
        )
    vocabulary, model = reading.read_vocabulary(run), stateless(run, which)
    manifest = {
        "vocabulary": list(vocabulary),
        "input": {
            "shape": ["batch"] if preprocessing else ["batch", "steps"],
            "dtype": "string" if preprocessing else "int32",
            "preprocessing": "none" if preprocessing else "words as indices of the vocabulary",
        },
        "output": "probabilities" if preprocessing else trained.gives(model),
    }
    return (predictor(model, vocabulary) if preprocessing else model), manifest
