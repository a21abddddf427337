"""Text classification: folders and tables of labeled texts, and the embedded `documents`.

Networks are trained on the numbers of words. A saved model takes strings: the layer that makes
numbers of them, with the vocabulary of the training texts, is put before the trained network.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import architectures
from ban_tf.datasets import class_weights, documents, tokenizing
from ban_tf.datasets.documents import Documents
from ban_tf.datasets.example_batches import Examples
from ban_tf.distillation import example_keys, teacher_names, teachers
from ban_tf.errors import InputError
from ban_tf.lineage.lineage import Lineage
from ban_tf.report import examples
from ban_tf.runs import class_files, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import (
    array_task,
    class_scores,
    data_facts,
    given_outputs,
    text_inference,
    text_models,
)

_MANY_UNKNOWN = 0.2  # fraction of unknown words from which the run says why
_SNIPPET = 300  # characters of a text in a report


class TextClassification(array_task.ArrayTask):
    """Networks that classify texts; see `Task`.

    Attributes:
        data: The texts.
        vocabulary: The known words.
        length: Words of a text that are read.
    """

    finished = text_inference
    takes_lines = True
    data: documents.DocumentData
    vocabulary: tuple[str, ...]
    length: int
    _predictions: list[np.ndarray]
    _cut: float  # fraction of the training texts that are longer

    def load(self) -> None:
        """Reads the texts, and makes numbers of their words."""
        options = self.options
        self.data = documents.load(
            options.dataset,
            validation_fraction=options.validation_fraction,
            train_examples=options.train_examples,
            seed=options.seed,
            test_fraction=options.test_fraction,
        )
        train = self.data.train
        self.vocabulary = tokenizing.learn(train.texts, options.max_words)
        # One word more than is read shows which texts are longer.
        numbers = tokenizing.encode(train.texts, self.vocabulary, options.max_length + 1)
        longest = int(np.count_nonzero(numbers.any(axis=0)))
        self.length = max(1, min(options.max_length, longest))
        self._cut = float(np.mean(numbers[:, options.max_length] != tokenizing.PADDING))
        self.train, self.validation, self.test = (
            self._examples(part) for part in (train, self.data.validation, self.data.test)
        )
        self.weigh(self.data.class_names)
        self.shown = class_scores.shown(options, self.shown)

    def _examples(self, part: Documents) -> Examples:
        numbers = tokenizing.encode(part.texts, self.vocabulary, self.length)
        return Examples(numbers, part.labels, part.files)

    def unknown_share(self, part: str) -> float:
        """Returns the fraction of unknown words in "train", "validation" or "test"."""
        return tokenizing.unknown_share(getattr(self, part).inputs)

    def describe(self) -> str:
        """Returns the name of the dataset, its numbers of texts and of words."""
        return (
            f"{data_facts.describe(self.data.name, self.labels, 'texts')}, "
            f"{len(self.vocabulary):,} known words, "
            f"{100 * self.unknown_share('test'):.1f} % of the test words unknown"
        )

    def remarks(self) -> list[str]:
        """Returns the classes, and how many texts are cut off or both in training and test."""
        data = self.data
        found = [class_weights.describe(data.train.labels, data.class_names)]
        if self._cut:
            found.append(
                f"{100 * self._cut:.1f} % of the training texts have more than "
                f"--max_length={self.options.max_length} words; the rest is not read."
            )
        if self.unknown_share("test") > _MANY_UNKNOWN:
            found.append(
                "Many of the test words are unknown: they are rare in the training texts, or "
                f"--max_words={self.options.max_words} is low."
            )
        twice = len(set(data.test.texts) & {*data.train.texts, *data.validation.texts})
        if twice:
            found.append(f"{twice} of the test texts are among the training texts, too.")
        return found

    def identity(self) -> Mapping[str, Any]:
        """Returns the numbers of texts and a hash of their content."""
        return self.identity_by(self.data.content, self.data.class_names)

    def files(self) -> Mapping[str, bytes]:
        """Returns the classes and the vocabulary."""
        facts = {
            "dataset": self.data.name,
            "unknown_share": {
                part: self.unknown_share(part) for part in ("train", "validation", "test")
            },
            "words": list(self.vocabulary),
        }
        return {
            reading.CLASSES: self._kept()[reading.CLASSES],
            reading.VOCABULARY: json.dumps(facts, indent=1).encode(),
        }

    def _kept(self) -> dict[str, bytes]:
        return class_files.class_files(self.data.class_names, self.test.labels, self.test.names)

    def build(self, network: str) -> keras.Model:
        """Builds a network from the numbers of words to logits."""
        with architectures.named(self.flag_of(network)):
            return architectures.build_text_classifier(
                network,
                tokenizing.count(self.vocabulary),
                self.length,
                len(self.data.class_names),
                **self.settings_of(network),
            )

    def as_saved(self, model: keras.Model) -> keras.Model:
        """Returns the network with the layer before it that makes numbers of texts."""
        return text_models.taking_texts(model, self.vocabulary, self.length)

    def saved_ensemble(self, mean: keras.Model) -> keras.Model:
        """Returns the ensemble with one such layer for all members."""
        return self.as_saved(mean)

    def first_model(self) -> keras.Model | None:
        """Returns the network in the model of `--teacher_from`, a text classifier of these words.

        Raises:
            InputError: It has other words, another length, or other classes.
        """
        path = self.options.teacher_from
        if not path or not teacher_names.is_first_model(vars(self.options)):
            return None
        given = teachers.load_model(path)
        network = text_models.network_of(given, self.vocabulary, self.length, pathlib.Path(path))
        if network is None or network.output_shape != (None, len(self.data.class_names)):
            raise InputError(
                f"--teacher_from={path} must be a text classifier of the words and classes of this "
                "run, such as that of a run on the same texts with the same --seed, --max_words "
                "and --max_length."
            )
        self.given = network
        return network

    def read_recording(self, name: str) -> given_outputs.GivenOutputs:
        """Reads a recording for the training texts."""
        return given_outputs.GivenOutputs(
            name,
            example_keys.of_examples(np.array(self.data.train.texts)),
            self.data.class_names,
            None,
            f"--dataset={self.data.name}",
            "training texts; record these very texts (docs/documents.md)",
        )

    def lineage_arguments(self, first_model: keras.Model | None) -> dict[str, Any]:
        """Returns what is monitored, and its value by chance."""
        return class_scores.lineage_arguments(self.options, self.validation.labels)

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy and accuracy."""
        return class_scores.compile_arguments(self.options, len(self.data.class_names))

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation error fell by more than its 95 % interval."""
        return self.class_improved(lineage)

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates the predictions on the test texts, which are stored with the models."""
        self._predictions = self.class_predictions(lineage, directory, len(self.data.class_names))
        return self.class_rows(self._predictions, groups)

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the errors on the validation texts."""
        return self.class_validation(lineage, groups)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the labels, the names of files, and the texts that the report shows."""
        shown = examples.select_examples(self._predictions, self.test.labels)
        texts = {int(index): self.data.test.texts[index][:_SNIPPET] for index in shown}
        directory.commit({**self._kept(), **class_files.snippet_files(texts)})

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns the reliability diagram and the confusion matrix of each generation."""
        names = self.data.class_names
        return class_scores.figures(self._predictions, self.test.labels, names)
