"""Applies models trained on a table to other tables: evaluation, prediction and export."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import outputs
from ban_tf.datasets import table_columns, table_files, tables
from ban_tf.datasets.column_features import ColumnFeatures
from ban_tf.datasets.folder_layout import TRAIN
from ban_tf.datasets.table_files import Table
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.metrics import regression, summary
from ban_tf.runs import inference, number_models, reading
from ban_tf.runs.number_models import NumberModel
from ban_tf.runs.table_files import COLUMNS, TableFacts, is_number, read_facts
from ban_tf.system import csv_tables, shown
from ban_tf.tasks import finished_runs, likely, number_scores, table_features
from ban_tf.tasks.task import Predictions

_COMPARED = 100  # rows by which preparations of columns are compared


def evaluate(run: reading.RunReader, dataset: str) -> dict[str, Any]:
    """Evaluates the generations of a run, and their ensembles, on a table.

    Of the table that the run was trained on, its test rows count; of another one, those that its
    column `split` names, or all.

    Args:
        run: The run.
        dataset: See `datasets.table_files.path_of`.

    Returns:
        A summary; see `metrics.summary`.

    Raises:
        InputError: The table cannot be read, or lacks a column.
    """
    facts, settings = read_facts(run), reading.settings(run)
    table = table_files.read(dataset)
    same = table.content() == facts.content
    fraction = settings.get("test_fraction", 0.2) if same else None
    rows = tables.test_rows(table, facts.columns, facts.target, fraction)
    finished = reading.finished_generations(run)
    models = [_ready(run, str(number), facts) for number in finished]
    found = [_outputs(model, rows.inputs, facts) for model in models]
    groups = summary.groups(len(finished))
    average = finished_runs.average(run)
    kind, seed = None, settings.get("seed", 0)
    if is_number(facts):
        kind, measured = "regression", regression.rows(found, groups, rows.targets, seed)
    else:
        measured = summary.rows(found, groups, rows.targets, average)
    about, members = finished_runs.about(run, dataset), finished_runs.members(run)
    return summary.assemble(about, members, measured, average, kind)


def predict(
    run: reading.RunReader, files: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts for each row of tables; those that cannot be read are left out.

    Args:
        run: The run.
        files: Paths of tables in CSV or Parquet, with the columns of the run; others are ignored.
        which: "ensemble", or the number of a generation.
        top: How many of the most likely classes; None for the first one, and for all in the table.

    Raises:
        InputError: The model does not exist, or `top` is given for a number.
    """
    facts = read_facts(run)
    if is_number(facts) and top is not None:
        raise InputError(f"--top={top} is for classes, but {run.path} predicts a number.")
    model = _ready(run, which, facts)
    rows: list[list[Any]] = []
    lines: list[str] = []
    bad: list[str] = []
    for file in files:
        try:
            found = _predictions(model, _inputs(_read(file), facts), facts)
        except InputError as error:
            bad.append(str(error))
            continue
        for number, row in enumerate(found, start=1):
            texts, cells = _cells(row, facts, top)
            rows.append([file, number, *cells])
            lines.append("\t".join([file, str(number), *texts]))
    return Predictions(["file", "row", *_headings(facts, top)], rows, lines, bad)


def probabilities(run: reading.RunReader, inputs: Any, which: str) -> np.ndarray:
    """Predicts for rows.

    Args:
        run: The run.
        inputs: The path of a table, a dictionary of columns, or a data frame.
        which: "ensemble", or the number of a generation.

    Returns:
        float64: probabilities `[rows, classes]`, or numbers `[rows]`.

    Raises:
        InputError: The model does not exist, or the inputs lack a column.
    """
    facts = read_facts(run)
    path = isinstance(inputs, (str, os.PathLike))
    table = _read(inputs) if path else table_files.from_columns(inputs, "`inputs`")
    return _predictions(_ready(run, which, facts), _inputs(table, facts), facts)


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description for the manifest.

    Raises:
        InputError: The format does not support strings.
    """
    if preprocessing:
        finished_runs.check_takes_strings(to, "raw columns, with strings")
    facts = read_facts(run)
    model = _load(run, which, facts)
    if preprocessing and not isinstance(model.input, dict):
        raise InputError(
            "--preprocessing needs a model that takes raw columns; those of a run without "
            "TensorFlow take features, prepared as columns.json says. Leave it out."
        )
    number = is_number(facts)
    output = "values" if number else "probabilities"
    if not preprocessing:
        model = table_features.network_of(model)
        output = "standardized values" if number else inference.output_kind(model)
    elif not number and inference.output_kind(model) == "logits":
        last = keras.layers.Softmax(dtype="float32", name="probabilities")(model.output)
        model = keras.Model(model.input, last, name="classifier")
    target = facts.target
    manifest = {
        "target": target.name,
        **({"mean": target.mean, "std": target.std} if number else {}),
        **({} if number else {"class_names": list(target.class_names)}),
        "columns": [
            {"name": column.name, "input": column.key, "kind": column.kind}
            for column in facts.columns
        ],
        "input": "raw columns, [batch, 1] each" if preprocessing else "prepared columns",
        "output": output,
    }
    return model, manifest


def network_on(
    model: keras.Model,
    features: keras.Model | ColumnFeatures,
    data: tables.TableData,
    path: pathlib.Path,
) -> keras.Model | None:
    """Returns the network in a model of a run on a table; None if it is none of this table.

    Args:
        model: Any model.
        features: What prepares the columns of the table.
        data: The table.
        path: Where the model was read from: the run there has the columns of a model that takes
            features.
    """
    taken, target = getattr(model, "input", None), data.target
    try:
        network = table_features.network_of(model)
        own = model.get_layer(table_features.NAME) if isinstance(taken, dict) else None
    except (InputError, ValueError):
        return None
    if network.output_shape != (None, max(1, len(target.class_names))):
        return None
    if own is None or not isinstance(taken, dict):
        known = reading.of_run_around(path, read_facts)
        fits = known is not None and known.columns == data.columns
        return network if fits and network.input_shape == features.output_shape else None
    if {*taken} != {column.key for column in data.columns}:
        return None
    rows = {key: cells[:_COMPARED] for key, cells in data.parts[TRAIN].inputs.items()}
    if own.output_shape != features.output_shape:
        return None
    alike = np.allclose(table_features.encode(own, rows), table_features.encode(features, rows))
    return network if alike else None


def _read(file: str | os.PathLike) -> Table:
    path = pathlib.Path(file)
    if not path.is_file():
        raise InputError(f"{file} does not exist; give a table in CSV or Parquet.")
    return table_files.read_file(path, str(file))


def _inputs(table: Table, facts: TableFacts) -> dict[str, np.ndarray]:
    return table_columns.arrays(table, facts.columns)


def _load(run: reading.RunReader, which: str, facts: TableFacts) -> keras.Model:
    """Loads a model, and checks that it takes the columns and returns what is predicted."""
    model = inference.load(run, which)
    if not table_features.is_whole(model):  # loaded without TensorFlow
        after = [number_scores.in_unit_of(facts.target)] if is_number(facts) else []
        preparation = ColumnFeatures(facts.columns)
        model = table_features.around(preparation, model, facts.columns, *after)
    taken = getattr(model, "input", None)
    units = max(1, len(facts.target.class_names))
    if isinstance(taken, dict):
        fits = {*taken} == {column.key for column in facts.columns}
    else:
        fits = getattr(model, "input_shape", None) == ColumnFeatures(facts.columns).output_shape
    if not fits or model.output_shape != (None, units):
        raise RunDirectoryError(
            f"{run.path / COLUMNS} has other columns or another target than the model."
        )
    return model


def _ready(run: reading.RunReader, which: str, facts: TableFacts) -> NumberModel:
    """Loads a model to predict with; one of classes has no unit."""
    model = _load(run, which, facts)
    return number_models.split(model) if is_number(facts) else NumberModel(model)


def _outputs(model: NumberModel, inputs: dict[str, np.ndarray], facts: TableFacts) -> np.ndarray:
    """Returns log-probabilities, float64 `[rows, classes]`, or numbers `[rows]`."""
    raw = table_features.encode(model.model, inputs, facts.columns)
    if is_number(facts):
        return model.in_unit(raw)
    return outputs.log_probabilities(raw, outputs.first_activation(model.model))


def _predictions(
    model: NumberModel, inputs: dict[str, np.ndarray], facts: TableFacts
) -> np.ndarray:
    """Returns probabilities, float64 `[rows, classes]`, or numbers `[rows]`."""
    found = _outputs(model, inputs, facts)
    return found if is_number(facts) else np.exp(found)


def _headings(facts: TableFacts, top: int | None) -> list[str]:
    if is_number(facts):
        return [facts.target.name]
    return likely.headings(facts.target.class_names, top)


def _cells(row: Any, facts: TableFacts, top: int | None) -> tuple[list[str], list[Any]]:
    """Returns the prediction for a row as cells of a line, and as those of the table."""
    if is_number(facts):
        return [shown.number(row)], [csv_tables.number(row)]
    return likely.of(row, facts.target.class_names, top)
