"""What runs keep of the test data of classifiers of anything but images, and of language models."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np

from ban_tf.errors import CorruptFileError
from ban_tf.runs import reading, schemas
from ban_tf.runs.reading import CLASSES, TEST_FILES, RunReader
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import json_schema

LABELS = "test_labels.npz"  # of these
SNIPPETS = "test_texts.json"  # of classifiers of texts and of language models
# What is kept of each word of the test text, by language models; see `metrics.tokens`.
WORD_SCORES = ("log_probability", "wrong", "confidence", "sum_of_squares")
_ROUNDING = 1e-3


def class_files(
    class_names: Sequence[str], labels: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Returns the files of a run that keep the classes and labels of a test set, by name.

    They are for classifiers of something else than images.

    Args:
        class_names: In the order of the classes.
        labels: The true classes, integers [examples].
        names: The name of each example; None if they have none.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, labels=labels)
    found = {
        CLASSES: json.dumps({"class_names": list(class_names)}, indent=1).encode(),
        LABELS: buffer.getvalue(),
    }
    if names is not None:
        found[TEST_FILES] = json.dumps({"files": list(names)}, indent=1).encode()
    return found


def read_classes(run: RunReader) -> tuple[str, ...]:
    """Reads the names of the classes that `class_files` has kept.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    name = run.path / CLASSES
    return tuple(json_schema.read(run.read(CLASSES), schemas.CLASSES, name)["class_names"])


def read_labels(run: RunReader) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Reads the labels of the test set, integers [examples], and the names of its examples.

    Raises:
        RunDirectoryError: A file is missing or damaged.
    """
    (labels,) = reading.arrays(run, LABELS, ("labels",))
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels) or labels.min() < 0:
        raise CorruptFileError(f"{run.path / LABELS} does not hold the labels of a test set.")
    return labels, reading.names_of_examples(run, len(labels))


def test_labels(run: RunReader) -> np.ndarray:
    """Returns the true classes of the test set of any run of classifiers, integers [examples].

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    return read_labels(run)[0] if CLASSES in run.names() else reading.read_test(run).labels


def snippet_files(texts: Mapping[int, str]) -> dict[str, bytes]:
    """Returns the file of a run that keeps texts for its report, by name.

    Args:
        texts: The beginnings of some test examples, by their number.
    """
    content = {"examples": [*texts], "texts": [*texts.values()]}
    return {SNIPPETS: json.dumps(content, indent=1).encode()}


def read_snippets(run: RunReader) -> dict[int, str]:
    """Reads the texts that `snippet_files` has kept; none if there is no such file.

    Raises:
        RunDirectoryError: The file is damaged.
    """
    if SNIPPETS not in run.names():
        return {}
    name = run.path / SNIPPETS
    found = json_schema.read(run.read(SNIPPETS), schemas.SNIPPETS, name)
    return dict(zip(found["examples"], found["texts"], strict=False))


def read_word_scores(run: RunDirectory, number: int) -> dict[str, np.ndarray]:
    """Reads what a language model predicted for each word of the test text.

    Args:
        run: The run.
        number: The generation.

    Returns:
        `WORD_SCORES`, float64 [words] each, in the order of the text; see `metrics.tokens`.

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    name = f"generation-{number}/predictions.npz"
    arrays = reading.arrays(run, name, tuple(f"{place:05}" for place in range(len(WORD_SCORES))))
    lengths = {array.shape for array in arrays}
    if len(lengths) > 1 or any(
        array.dtype.kind != "f" or array.ndim != 1 or not len(array) or not np.isfinite(array).all()
        for array in arrays
    ):
        raise CorruptFileError(f"{run.path / name} does not hold the scores of words.")
    found = dict(zip(WORD_SCORES, (array.astype(np.float64) for array in arrays), strict=True))
    shares = [found[score] for score in WORD_SCORES[1:]]
    if found["log_probability"].max() > _ROUNDING or not all(
        share.min() >= -_ROUNDING and share.max() <= 1 + _ROUNDING for share in shares
    ):
        raise CorruptFileError(f"{run.path / name} holds probabilities that are not in 0..1.")
    return found
