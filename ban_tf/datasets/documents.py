"""Labeled texts for text classification.

`documents:FOLDER` has one `.txt` file for each text, in `FOLDER/{train,test}/CLASS` (perhaps with
`val`, `valid` or `validation` beside them) or in `FOLDER/CLASS`, which is split. `csv:FILE` has the
columns `text`, `label` and perhaps `split`. `documents` are the descriptions of SciPy's functions
by module; see `datasets.docstrings`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ban_tf.datasets import content, splits
from ban_tf.datasets.csv_list import Arranged
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION
from ban_tf.errors import InputError
from ban_tf.system import seeds

EMBEDDED = "documents"


@dataclasses.dataclass(frozen=True, eq=False)
class Documents:
    """Texts with labels.

    Attributes:
        texts: The texts.
        labels: int32 `[texts]`.
        files: The names of the files, relative to their folder; None if they come from no files.
    """

    texts: tuple[str, ...]
    labels: np.ndarray
    files: tuple[str, ...] | None = None

    def select(self, chosen: np.ndarray) -> Documents:
        """Returns some of the texts, by index or by mask."""
        rows = np.arange(len(self.labels))[chosen]
        return Documents(
            tuple(self.texts[row] for row in rows),
            self.labels[rows],
            self.files and tuple(self.files[row] for row in rows),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class DocumentData:
    """A dataset for text classification.

    Attributes:
        name: The value of `--dataset`.
        class_names: In the order of the labels.
        train: The training texts.
        validation: The validation texts; may be empty.
        test: The test texts.
        content: A hash of all texts and labels.
    """

    name: str
    class_names: tuple[str, ...]
    train: Documents
    validation: Documents
    test: Documents
    content: str


def check(name: str) -> None:
    """Checks the name of a dataset; files of a folder are listed, and not read.

    Raises:
        InputError: The file or folder does not exist, or has the wrong layout.
    """
    if name != EMBEDDED:
        _arranged(name)


def known_parts(name: str) -> set[str]:
    """Returns the parts of a dataset's files; none if there are none, or they cannot be read."""
    try:
        return set() if name == EMBEDDED else set(_arranged(name).parts)
    except (InputError, OSError):
        return set()


def load(
    name: str,
    *,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
) -> DocumentData:
    """Reads a dataset.

    Args:
        name: "documents", "documents:FOLDER" or "csv:FILE".
        validation_fraction: Fraction of the training texts used for validation; not used for data
            with a validation part.
        train_examples: Use only this number of training texts, a fixed random choice; validation
            texts are taken from these.
        seed: Chooses the validation texts.
        test_fraction: Fraction of the texts used for testing, of data without a test part; the
            same texts for every seed.

    Raises:
        InputError: The data cannot be read, or is invalid.
    """
    names, parts = _read(name)
    if ALL in parts:
        held_out = splits.choose_test(parts[ALL].labels, test_fraction)
        parts = {TRAIN: parts[ALL].select(~held_out), TEST: parts[ALL].select(held_out)}
    train, validation, test = parts[TRAIN], parts.get(VALIDATION), parts[TEST]
    if train_examples is not None:
        if train_examples > len(train.labels):
            raise InputError(
                f"--train_examples={train_examples} is more than the {len(train.labels)} training "
                f"texts of --dataset={name}."
            )
        train = train.select(np.random.default_rng(0).permutation(len(train.labels)))
        train = train.select(np.arange(train_examples))
    whole = [train, test] if validation is None else [train, test, validation]
    known_by = content.of_documents(
        names,
        [text for part in whole for text in part.texts],
        [part.labels for part in whole],
    )
    if validation is None:
        held_out = splits.choose(
            train.labels, validation_fraction, seeds.derive_seed(seed, "validation")
        )
        train, validation = train.select(~held_out), train.select(held_out)
    return DocumentData(name, names, train, validation, test, known_by)


def load_test(name: str, class_names: tuple[str, ...]) -> Documents:
    """Reads the test texts of a dataset, whose labels are those of a trained run.

    All texts of a dataset without a test part are test texts.

    Args:
        name: As for `load`.
        class_names: The trained classes.

    Raises:
        InputError: The data cannot be read, or has a class that is not among the trained ones.
    """
    if name == EMBEDDED:
        data = load(name)
        names, test = data.class_names, data.test
    else:
        names, parts = _read(name)
        test = parts.get(TEST) or parts[ALL]
    unknown = sorted({names[label] for label in np.unique(test.labels)} - set(class_names))
    if unknown:
        raise InputError(
            f"--dataset={name} has classes that the run was not trained on: {', '.join(unknown)}. "
            f"The run knows {', '.join(class_names)}."
        )
    numbers = {name: label for label, name in enumerate(class_names)}
    labels = np.array([numbers[names[label]] for label in test.labels], np.int32)
    return Documents(test.texts, labels, test.files)


def _arranged(name: str) -> Arranged:
    """Returns the texts of a table by part, or the files of a folder."""
    from ban_tf.datasets import csv_list, document_files

    if name.startswith("csv:"):
        return csv_list.read(name, "text")
    return document_files.scan(name)


def _read(name: str) -> tuple[tuple[str, ...], dict[str, Documents]]:
    """Returns the class names and the texts by part."""
    if name == EMBEDDED:
        from ban_tf.datasets import docstrings

        return docstrings.CLASSES, {ALL: Documents(*docstrings.load())}
    arranged = _arranged(name)
    parts = {}
    for part, rows in arranged.parts.items():
        contents = tuple(row for row, _ in rows)
        labels = np.array([label for _, label in rows], np.int32)
        if name.startswith("csv:"):
            parts[part] = Documents(contents, labels)
        else:
            from ban_tf.datasets import document_files

            parts[part] = Documents(document_files.read(name, contents), labels, contents)
    return arranged.class_names, parts
