"""Applies trained language models to new text: evaluation, prediction and export."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import outputs
from ban_tf.compat.streams import with_streams
from ban_tf.datasets import text, tokenizing
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.metrics import summary, tokens
from ban_tf.runs import class_files, inference, reading
from ban_tf.runs.rundir import MANIFEST
from ban_tf.tasks import finished_runs, given_texts, language_scores
from ban_tf.tasks.language_training import reset_states
from ban_tf.tasks.task import Predictions

# The number of last words of a line from which the next one is predicted.
CONTEXT = 256
_LINES = 16  # batch size of a model that accepts any
# A regular expression (RE2) of what `str.split` splits at.
_WHITE_SPACE = (
    r"[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)


def evaluate(run: reading.RunReader, dataset: str) -> dict[str, Any]:
    """Evaluates the generations of a run, and their ensembles, on a text.

    The vocabulary and the number of streams are those of the run.

    Args:
        run: The run.
        dataset: See `text.read_test`.

    Returns:
        A summary; see `metrics.summary`. Its rows also have `perplexity` and
        `perplexity_interval`, and its `run` has `unknown_words`, their fraction.

    Raises:
        InputError: The text cannot be read, or the run has no vocabulary.
    """
    vocabulary = _vocabulary(run)
    test = text.read_test(dataset)
    finished = reading.finished_generations(run)
    models = [_load(run, str(number), vocabulary) for number in finished]
    sizes = _streams(run, models)
    words = text.encode(test, vocabulary)
    unknown = text.unknown_share(vocabulary, words)
    language_scores.warn_of_unknown_words(unknown, "given")
    average = finished_runs.average(run)
    scores = language_scores.score(models, summary.groups(len(models)), sizes, words, average)
    rows = [
        tokens.evaluate(score, scores[0] if index else None) for index, score in enumerate(scores)
    ]
    for row in rows:
        row["perplexity_interval"] = row["interval"] if row["examples"] > 1 else None
    about = {**finished_runs.about(run, dataset), "unknown_words": unknown}
    members = finished_runs.members(run)
    return summary.assemble(about, members, rows, average, "language")


def final_row(run: reading.RunReader, student: reading.RunReader) -> dict[str, Any]:
    """Returns the metrics of a final student against generation 0 of a run; see `Task`."""
    first, own = class_files.read_word_scores(run, 0), class_files.read_word_scores(student, 1)
    row = reading.read_summary(student)["generations"][1]
    return {
        **tokens.evaluate(own, first),
        "validation_perplexity": row["validation_perplexity"],
    }


def next_words(
    run: reading.RunReader, lines: Sequence[Sequence[str]], which: str = "ensemble"
) -> np.ndarray:
    """Returns the probabilities of the word after each line, float64 `[lines, words]`.

    Each line is read from its start, as if it followed another line; of a long one only the last
    `CONTEXT` words are read.

    Args:
        run: The run; the columns are in the order of its vocabulary.
        lines: The words of each line.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: The model or the vocabulary does not exist, or a word cannot be encoded.
    """
    vocabulary = _vocabulary(run)
    model = _load(run, which, vocabulary)
    contexts = [text.encode([text.END, *line], vocabulary)[-CONTEXT:] for line in lines]
    language_scores.warn_of_unknown_words(
        text.unknown_share(vocabulary, np.concatenate(contexts)), "given", scored=False
    )
    activation = outputs.first_activation(model)
    at_a_time = model.input_shape[0] or _LINES  # a stateful model has a fixed batch size
    found = []
    for start in range(0, len(contexts), at_a_time):
        some = contexts[start : start + at_a_time]
        # Padding after a line does not change the predictions within it.
        inputs = np.zeros((at_a_time, max(map(len, some))), np.int32)
        for row, context in zip(inputs, some, strict=False):
            row[: len(context)] = context
        reset_states(model)
        raw = np.asarray(model(inputs, training=False))
        last = np.stack([raw[row, len(context) - 1] for row, context in enumerate(some)])
        found.append(np.exp(outputs.log_probabilities(last, activation)))
    return np.concatenate(found)


def predict(
    run: reading.RunReader, files: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the next word of each line of text files; those that cannot be read are left out.

    Args:
        run: The run.
        files: Paths.
        which: "ensemble", or the number of a generation.
        top: How many of the most likely words; 5 by default.

    Raises:
        InputError: The model or the vocabulary does not exist, or a word cannot be encoded.
    """
    vocabulary = reading.read_vocabulary(run)
    lines: list[tuple[str, list[str]]] = []
    read, bad = [], []
    for file in files:
        try:
            lines += [(file, line) for line in text.read_lines(pathlib.Path(file))]
            read.append(file)
        except InputError as error:
            bad.append(str(error))
    if read and not lines:
        bad.append(f"{', '.join(read)} has no words.")
    found = list(next_words(run, [line for _, line in lines], which)) if lines else []
    top = min(top or 5, len(vocabulary))
    rows, texts = [], []
    for (file, line), row in zip(lines, found, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        likeliest = [(vocabulary[number], row[number]) for number in best]
        cells = [(word, f"{probability:.8g}") for word, probability in likeliest]
        rows.append([file, " ".join(line), *(cell for pair in cells for cell in pair)])
        words = "  ".join(f"{word} {probability:.4f}" for word, probability in likeliest)
        texts.append(f"{' '.join(line)}\t{words}")
    numbers = range(1, top + 1)
    headings = [name for n in numbers for name in (f"word {n}", f"probability {n}")]
    return Predictions(["file", "line", *headings], rows, texts, bad)


def probabilities(run: reading.RunReader, inputs: Any, which: str) -> np.ndarray:
    """Predicts the word after each line; see `next_words`."""
    lines = given_texts.as_list(inputs, "lines of text")
    return next_words(run, [line.split() for line in lines], which)


def stateless(run: reading.RunReader, which: str) -> keras.Model:
    """Loads a stateless model with any batch size.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.
    """
    loaded = _load(run, which, _vocabulary(run))
    return loaded if which == inference.ENSEMBLE else with_streams(loaded, None)


def _vocabulary(run: reading.RunReader) -> tuple[str, ...]:
    vocabulary = reading.read_vocabulary(run)
    if text.END not in vocabulary:
        raise RunDirectoryError(f"{run.path / reading.VOCABULARY} lacks the word {text.END}.")
    return vocabulary


def _load(run: reading.RunReader, which: str, vocabulary: Sequence[str]) -> keras.Model:
    """Loads a model, and checks that it predicts the words of a vocabulary."""
    model = inference.load(run, which)
    takes: Any = getattr(model, "input_shape", None) or ()
    returns: Any = getattr(model, "output_shape", None) or ()
    if (len(takes), len(returns)) != (2, 3) or returns[-1] != len(vocabulary):
        raise RunDirectoryError(
            f"{run.path / reading.VOCABULARY} has {len(vocabulary)} words, which are not those "
            "that the model predicts."
        )
    return model


def _streams(run: reading.RunReader, models: Sequence[keras.Model]) -> tuple[int, int]:
    """Returns the streams of a run, and the steps of its batches."""
    settings = reading.settings(run)
    streams, steps = settings.get("batch_size"), settings.get("unroll")
    fits = all(model.input_shape[0] in (None, streams) for model in models)
    if streams is None or steps is None or not fits:
        raise RunDirectoryError(
            f"{run.path / MANIFEST} has settings batch_size and unroll that are not those of its "
            "models, or lacks them."
        )
    return streams, steps


def predictor(model: keras.Model, vocabulary: Sequence[str]) -> keras.Model:
    """Wraps a model with vocabulary and softmax.

    Args:
        model: A stateless model from words int32 `[batch, steps]` to logits or probabilities.
        vocabulary: Its words.

    Returns:
        A model of stock Keras layers from lines, strings `[batch]` of words separated by white
        space, to the probabilities of the next word, float32 `[batch, words]`. Words outside the
        vocabulary become `<unk>`, or the end of a line if the vocabulary has no `<unk>`. Stock
        layers split at white space of ASCII alone; see `_spaced`.
    """
    ops, end = keras.ops, list(vocabulary).index(text.END)
    unknown = list(vocabulary).index(text.UNKNOWN) if text.UNKNOWN in vocabulary else end
    lines = keras.Input((), dtype="string", name="lines")
    # Word indices start at 2; 0 is padding and 1 an unknown word.
    numbers = keras.layers.TextVectorization(
        standardize=None, split="whitespace", vocabulary=list(vocabulary), name="vocabulary"
    )(lines)
    length = ops.sum(ops.cast(ops.not_equal(numbers, 0), "int32"), axis=1)
    indices = ops.cast(numbers, "int32") - 2
    indices = ops.where(ops.equal(indices, -1), unknown, ops.maximum(indices, 0))
    indices = ops.pad(indices, ((0, 0), (1, 0)), constant_values=end)  # a line follows another one
    results = ops.take_along_axis(model(indices), ops.reshape(length, (-1, 1, 1)), axis=1)[:, 0]
    if inference.output_kind(model) == "logits":
        results = keras.layers.Softmax(dtype="float32", name="probabilities")(results)
    return keras.Model(lines, results, name="next_word")


def _spaced(model: keras.Model) -> keras.Model:
    """Returns a model of lines that splits them where `str.split` does, as in training.

    Its first layer is none of Keras's, so that a .keras file of it cannot be loaded elsewhere.

    Args:
        model: Splits lines at white space of ASCII.
    """
    import tensorflow as tf

    class Spaces(keras.layers.Layer):
        def call(self, lines: Any) -> Any:
            return tf.strings.regex_replace(lines, _WHITE_SPACE, " ")

        def compute_output_spec(self, lines: Any) -> Any:
            return keras.KerasTensor(lines.shape, lines.dtype)

    lines = keras.Input((), dtype="string", name="lines")
    return keras.Model(lines, model(Spaces(name="spaces", dtype="string")(lines)), name=model.name)


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description for the manifest.

    Raises:
        InputError: The format does not support strings.
    """
    if preprocessing:
        finished_runs.check_takes_strings(to, "strings")
        if not tokenizing.takes_text():
            raise InputError(
                "--preprocessing makes the model take lines of text, which needs TensorFlow; leave "
                "it out, or set KERAS_BACKEND=tensorflow."
            )
    vocabulary, model = _vocabulary(run), stateless(run, which)
    manifest = {
        "vocabulary": list(vocabulary),
        "input": {
            "shape": ["batch"] if preprocessing else ["batch", "steps"],
            "dtype": "string" if preprocessing else "int32",
            "preprocessing": _before(to) if preprocessing else "words as indices of the vocabulary",
        },
        "output": "probabilities" if preprocessing else inference.output_kind(model),
    }
    if preprocessing:
        model = predictor(model, vocabulary)
        # A file of Keras has to load where this package is not installed.
        model = model if to == "keras" else _spaced(model)
    return model, manifest


def _before(to: str) -> str:
    """Returns what a caller of an exported model of lines has to do first, for the manifest."""
    if to == "keras":
        return "none where white space is ASCII; other, such as U+00A0, has to become a space"
    return "none"
