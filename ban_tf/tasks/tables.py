"""Tables: classes or numbers from columns of any kind.

Columns are prepared once, by a Keras model (see `table_features`), and networks are trained on the
result. What is saved is both together: a model that takes raw columns.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import architectures
from ban_tf.datasets import column_features, tables
from ban_tf.datasets.example_batches import Examples
from ban_tf.datasets.folder_layout import TEST, TRAIN, VALIDATION
from ban_tf.distillation import example_keys, teacher_names, teachers
from ban_tf.errors import InputError
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import regression
from ban_tf.runs import class_files, number_files, table_files
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import (
    class_scores,
    data_facts,
    given_outputs,
    number_scores,
    table_facts,
    table_features,
    table_inference,
)
from ban_tf.tasks.array_task import ArrayTask


class TableTask(ArrayTask):
    """Networks that predict a column of a table from the others; see `Task`.

    The inputs of examples are features; labels are classes, or standardized numbers `[rows, 1]`.
    """

    finished = table_inference
    data: tables.TableData
    features: keras.Model | column_features.ColumnFeatures
    _predictions: list[np.ndarray]

    @property
    def _is_number(self) -> bool:
        return self.data.target.kind == tables.NUMBER

    def load(self) -> None:
        """Reads the table and prepares its columns."""
        options = self.options
        self.data = tables.load(
            options.dataset,
            target=options.target,
            target_kind=options.target_kind,
            ignored=_listed(options.ignored_columns),
            categorical=_listed(options.categorical_columns),
            test_fraction=options.test_fraction,
            validation_fraction=options.validation_fraction,
            train_examples=options.train_examples,
            seed=options.seed,
        )
        self.features = table_features.preparation(self.data.columns)
        self.train, self.validation, self.test = (
            self._examples(self.data.parts[part]) for part in (TRAIN, VALIDATION, TEST)
        )
        self.weigh(self.data.target.class_names)
        if self._is_number:
            self.kind, self.output_kind = "regression", "values"
            self.shown = number_scores.SHOWN
            self.validation_metric = "rmse"
        else:
            self.shown = class_scores.shown(options, self.shown)

    def _examples(self, rows: tables.Rows) -> Examples:
        target, labels = self.data.target, rows.targets
        if self._is_number:
            labels = number_scores.standardized(labels, target)
        return Examples(table_features.encode(self.features, rows.inputs), labels)

    def describe(self) -> str:
        """Returns the name of the table and its numbers of rows."""
        return data_facts.describe(self.data.name, self.labels, "rows")

    def remarks(self) -> list[str]:
        """Returns what is predicted, and from which columns."""
        return table_facts.remarks(self.data, self.features.output_shape[-1])

    def identity(self) -> Mapping[str, Any]:
        """Returns the numbers of rows and a hash of the table."""
        return self.identity_by(self.data.content)

    def files(self) -> Mapping[str, bytes]:
        """Returns the columns and the target, without which predictions cannot be read."""
        data = self.data
        facts = table_files.TableFacts(data.name, data.content, data.target, data.columns)
        return {table_files.COLUMNS: facts.to_json()}

    def build(self, network: str) -> keras.Model:
        """Builds a network from features to logits, or to a standardized number."""
        with architectures.named(self.flag_of(network)):
            return architectures.build_table_network(
                network,
                self.features.output_shape[-1],
                1 if self._is_number else len(self.data.target.class_names),
                **self.settings_of(network),
            )

    def as_saved(self, model: keras.Model) -> keras.Model:
        """Returns a network together with the preparation of its columns, in the target's unit."""
        after = []
        if self._is_number:
            after.append(number_scores.in_unit_of(self.data.target))
        return table_features.around(self.features, model, self.data.columns, *after)

    def saved_ensemble(self, model: keras.Model) -> keras.Model:
        """Returns the ensemble together with the preparation of its columns."""
        return self.as_saved(model)

    def first_model(self) -> keras.Model | None:
        """Returns the network in the model of `--teacher_from`, of a run on these columns.

        Raises:
            InputError: It has other columns, prepares them in another way, or has another target.
        """
        path = self.options.teacher_from
        if not path or not teacher_names.is_first_model(vars(self.options)):
            return None
        self.given = table_inference.network_on(
            teachers.load_model(path), self.features, self.data, pathlib.Path(path)
        )
        if self.given is None:
            raise InputError(
                f"--teacher_from={path} must be a model of a run on this table, with the same "
                "target, columns and training rows; any other model can be recorded "
                "(docs/tables.md)."
            )
        return self.given

    def read_recording(self, name: str) -> given_outputs.GivenOutputs:
        """Reads a recording for the training rows."""
        target = self.data.target
        return given_outputs.GivenOutputs(
            name,
            example_keys.of_names(self.data.parts[TRAIN].keys),
            target.class_names,
            target if self._is_number else None,
            f"column {target.name}",
            "training rows of this table; record them with their `keys` (docs/tables.md)",
        )

    def lineage_arguments(self, first_model: keras.Model | None) -> dict[str, Any]:
        """Returns what is monitored of classes, and its value by chance."""
        if self._is_number:
            return {}
        return class_scores.lineage_arguments(self.options, self.validation.labels)

    def compile_arguments(self) -> dict[str, Any]:
        """Returns cross-entropy and accuracy, or the squared error and its root."""
        if self._is_number:
            return number_scores.compile_arguments()
        return class_scores.compile_arguments(self.options, len(self.data.target.class_names))

    def _numbers(self, model: keras.Model, examples: Examples) -> np.ndarray:
        """Returns predicted numbers in the unit of the target, float64 `[examples]`."""
        return number_scores.in_unit(self.outputs(model, examples), self.data.target)

    def _validated(self, model: keras.Model) -> np.ndarray:
        return self._numbers(model, self.validation)

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation error, or RMSE, fell by more than its 95 % interval."""
        if self._is_number:
            targets = self.data.parts[VALIDATION].targets
            return number_scores.improved(lineage, self._validated, targets, self.options.seed)
        return self.class_improved(lineage)

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the validation errors, or the RMSE, of generations and of their averages."""
        if not self._is_number:
            return self.class_validation(lineage, groups)
        targets = self.data.parts[VALIDATION].targets
        return number_scores.validation_scores(lineage, groups, self._validated, targets)

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates the predictions for the test rows, which are stored with the models."""
        target = self.data.target
        if not self._is_number:
            self._predictions = self.class_predictions(lineage, directory, len(target.class_names))
            return self.class_rows(self._predictions, groups)
        targets = self.data.parts[TEST].targets
        self._predictions = number_scores.predictions(
            lineage, directory, len(targets), lambda model: self._numbers(model, self.test)
        )
        return regression.rows(self._predictions, groups, targets, self.options.seed)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the true classes or numbers of the test rows."""
        test, names = self.data.parts[TEST], self.data.target.class_names
        if self._is_number:
            directory.commit(number_files.number_files(test.targets, test.numbers))
        else:
            directory.commit(class_files.class_files(names, test.targets, test.numbers))

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns predictions against the truth, for numbers."""
        if not self._is_number:
            return {}
        return number_scores.figures(self._predictions, self.data.parts[TEST].targets)


def _listed(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]
