"""Applies trained text classifiers to new texts: evaluation, prediction and export."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import outputs
from ban_tf.datasets import document_files, documents, names, text, tokenizing
from ban_tf.datasets.folder_layout import ALL
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.metrics import summary
from ban_tf.runs import class_files, inference, reading
from ban_tf.system import shown
from ban_tf.tasks import (
    data_facts,
    finished_runs,
    given_texts,
    image_paths,
    likely,
    text_models,
)
from ban_tf.tasks.task import Predictions

_AT_A_TIME = 500  # texts
_SNIPPET = 60  # characters of a text in a line of predictions


def load(run: reading.RunReader, which: str) -> keras.Model:
    """Loads a model of a run; it takes texts, or under another backend the numbers of words.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.

    Raises:
        RunDirectoryError: It does not exist, is damaged, or is no text classifier of this run.
    """
    model, classes = inference.load(run, which), class_files.read_classes(run)
    takes, returns = (getattr(model, name, None) for name in ("input_shape", "output_shape"))
    if takes == (None,):
        splits = any(isinstance(layer, keras.layers.TextVectorization) for layer in model.layers)
        whole = splits and text_models.inner(model) is not None
    else:  # made or loaded without TensorFlow
        whole = isinstance(takes, tuple) and len(takes) == 2 and takes[1] is not None
    if returns != (None, len(classes)) or not whole:
        raise RunDirectoryError(
            f"{run.path / reading.CLASSES} has {len(classes)} classes, which are not those of a "
            "text classifier in this run."
        )
    return model


def log_probabilities(
    run: reading.RunReader, model: keras.Model, texts: Sequence[str]
) -> np.ndarray:
    """Predicts classes, float64 `[texts, classes]`.

    Args:
        run: The run.
        model: One of its models, as from `load`.
        texts: The texts.
    """
    given = list(texts) if model.input_shape == (None,) else _numbers(run, model, texts)
    parts = [given[start : start + _AT_A_TIME] for start in range(0, len(given), _AT_A_TIME)]
    raw = np.concatenate([np.asarray(model(_fed(part), training=False)) for part in parts])
    return outputs.log_probabilities(raw, outputs.first_activation(model))


def _fed(part: Any) -> Any:
    if not isinstance(part, list):
        return part
    import tensorflow as tf

    return tf.constant(part)


def _numbers(run: reading.RunReader, model: keras.Model, texts: Sequence[str]) -> np.ndarray:
    """Returns the numbers of the words of texts, as a model reads them."""
    network = text_models.inner(model) if model.input_shape == (None,) else model
    assert network is not None
    return tokenizing.encode(texts, reading.read_vocabulary(run), network.input_shape[1])


def evaluate(run: reading.RunReader, dataset: str) -> dict[str, Any]:
    """Evaluates the generations of a run on the test texts of a dataset.

    All texts of a dataset without a test part are test texts, unless the run was trained on it:
    then they are its own test texts.

    Args:
        run: The run.
        dataset: As `--dataset`.

    Returns:
        A summary; see `metrics.summary`. Its `run` has `unknown_words`, their fraction.

    Raises:
        InputError: The data cannot be read, or has classes that the run does not know.
    """
    models = [load(run, str(number)) for number in reading.finished_generations(run)]
    test = _test_texts(run, dataset)
    found = [log_probabilities(run, model, test.texts) for model in models]
    unknown = tokenizing.unknown_share(_numbers(run, models[0], test.texts))
    about = {**finished_runs.about(run, dataset), "unknown_words": unknown}
    members = finished_runs.members(run, found)
    return summary.summarize(about, members, test.labels, finished_runs.average(run))


def _test_texts(run: reading.RunReader, dataset: str) -> documents.Documents:
    """Returns the test texts of a dataset; of the one that the run was trained on, the run's."""
    settings = reading.settings(run)
    if ALL in names.parts(dataset):
        recorded = ("validation_fraction", "test_fraction", "train_examples", "seed")
        options = {name: settings[name] for name in recorded if settings.get(name) is not None}
        with contextlib.suppress(InputError):  # such as too few texts to be divided
            data = documents.load(dataset, **options)
            if settings.get("data") == data_facts.known_by(data.content):
                return data.test
    return documents.load_test(dataset, class_files.read_classes(run))


def probabilities(run: reading.RunReader, texts: Sequence[str], which: str) -> np.ndarray:
    """Predicts class probabilities, float64 `[texts, classes]`.

    Args:
        run: The run.
        texts: The texts.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: The model does not exist, or something else than texts is given.
    """
    given = given_texts.as_list(texts)
    return np.exp(log_probabilities(run, load(run, which), given))


def predict(
    run: reading.RunReader,
    names: Sequence[str],
    which: str,
    top: int | None = None,
    lines: bool = False,
) -> Predictions:
    """Predicts the classes of text files; those that cannot be read are left out.

    Args:
        run: The run.
        names: Paths of files or of folders, and patterns; see `image_paths.expand`.
        which: "ensemble", or the number of a generation.
        top: How many of the most likely classes; None for the first one, and for all in the table.
        lines: Whether each line of a file is a text.

    Raises:
        InputError: The model does not exist.
    """
    class_names, model = class_files.read_classes(run), load(run, which)
    files, bad = image_paths.expand(names, document_files.files_in, "text files")
    texts: list[tuple[str, str]] = []
    for file in files:
        try:
            texts += [(file, found) for found in _texts(pathlib.Path(file), lines)]
        except InputError as error:
            bad.append(str(error))
    contents = [read for _, read in texts]
    found = np.exp(log_probabilities(run, model, contents)) if texts else []
    rows: list[list[Any]] = []
    printed = []
    for (file, read), row in zip(texts, found, strict=True):
        classes = likely.of(row, class_names, top)
        begin = [file, *([shown.escaped(read[:_SNIPPET])] if lines else [])]
        printed.append("\t".join([*begin, *classes.shown]))
        rows.append([file, *([read] if lines else []), *classes.cells])
    headings = likely.headings(class_names, top)
    return Predictions(["file", *(["line"] if lines else []), *headings], rows, printed, bad)


def _texts(path: pathlib.Path, lines: bool) -> list[str]:
    if not lines:
        return [document_files.read_document(path)]
    return [" ".join(words) for words in text.read_lines(path)]


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description for the manifest.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.
        preprocessing: Whether it takes texts and returns probabilities, and not the numbers of
            words and its own outputs.
        to: The format.

    Raises:
        InputError: The model does not exist, or the format does not support strings.
    """
    if preprocessing:
        finished_runs.check_takes_strings(to, "strings")
    model = load(run, which)
    network: Any = text_models.inner(model) if model.input_shape == (None,) else model
    if preprocessing and network is model:
        raise InputError(
            "--preprocessing needs a model that takes texts; those of a run without TensorFlow "
            "take the numbers of words, as vocabulary.json has them. Leave it out."
        )
    kind = inference.output_kind(model)
    manifest = {
        "class_names": list(class_files.read_classes(run)),
        "vocabulary": list(reading.read_vocabulary(run)),
        "input": {
            "shape": ["batch"] if preprocessing else ["batch", network.input_shape[1]],
            "dtype": "string" if preprocessing else "int32",
            "preprocessing": "none"
            if preprocessing
            else "words with ASCII letters in lower case, without ASCII punctuation and split at "
            "ASCII white space: 0 pads, 1 is an unknown word, and the words of the vocabulary "
            "follow from 2 on",
        },
        "output": "probabilities" if preprocessing else kind,
    }
    if not preprocessing:
        return network, manifest
    results = model.outputs[0]
    if kind == "logits":
        results = keras.layers.Softmax(dtype="float32", name="probabilities")(results)
    return keras.Model(model.inputs[0], results, name="text_classifier"), manifest
