"""`ban-tf evaluate RUN --dataset=...`: a run's models on new data."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from ban_tf import datasets
from ban_tf.cli import common as command
from ban_tf.errors import InputError
from ban_tf.metrics import summary
from ban_tf.report import table
from ban_tf.runs import reading

NAME = "ban-tf evaluate"
USAGE = """ban-tf evaluate RUN --dataset=NAME [flags]

Measures every finished generation and their ensembles on the test split of a data set, with the
preprocessing of the run. The classes must be those that the run was trained on.
"""


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def evaluate(run: reading.RunReader, dataset: str, data_dir: str | None = None) -> dict[str, Any]:
    """Measures the generations of a run on the test split of a data set.

    Args:
        run: The run.
        dataset: As `--dataset` of `ban_tf.main`.
        data_dir: Where TFDS keeps its data.

    Returns:
        A summary; see `report.summary`.

    Raises:
        InputError: The data cannot be had, or is not what the models were trained for.
    """
    facts = reading.read_data_facts(run)
    finished = reading.finished_generations(run)
    if not finished:
        raise InputError(f"{run.path} has no finished generation yet.")
    data = datasets.load(dataset, data_dir=data_dir)
    if tuple(data.class_names) != facts.class_names:
        raise InputError(
            f"--dataset={dataset} has the classes {_listed(data.class_names)}, but {run.path} was "
            f"trained on {_listed(facts.class_names)}."
        )
    if tuple(data.input_shape) != facts.input_shape:
        raise InputError(
            f"--dataset={dataset} has images of shape {tuple(data.input_shape)}, but {run.path} "
            f"was trained on {facts.input_shape}."
        )
    command.import_tensorflow()
    from ban_tf.runs import trained

    members = [
        summary.Member(
            number,
            run.facts.get("generations", {}).get(str(number), {}).get("taught_by", "given"),
            trained.log_probabilities(trained.load(run, str(number)), data.test.images, facts),
        )
        for number in finished
    ]
    settings = reading.settings(run)
    about = {
        "dataset": dataset,
        "architecture": settings.get("arch", "unknown"),
        "objective": settings.get("objective", "unknown"),
        "seed": settings.get("seed", 0),
    }
    average = settings.get("ensemble_average", "probabilities")
    return summary.summarise(about, members, data.test.labels, average)


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = ", ..." if len(names) > most else ""
    return f"{', '.join(names[:most])}{more} ({len(names)})"


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "dataset",
        None,
        "digits, a TFDS data set, or folder:PATH.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("data_dir", None, "Where TFDS data sets are kept.", flag_values=values)
    flags.DEFINE_string("json", None, "Also write the numbers to this file.", flag_values=values)


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if len(names) != 1:
        raise InputError("name one run, such as runs/digits-wrn-16-1-kd+labels-0.")
    dataset, data_dir = values["dataset"].value, values["data_dir"].value
    if data_dir and not datasets.is_tfds(dataset):
        raise InputError(
            f"--data_dir={data_dir} does nothing with --dataset={dataset}; it is for TFDS "
            "data sets. Leave it out."
        )
    run = reading.RunReader(names[0])
    result = evaluate(run, dataset, data_dir)
    table.show(result)
    path = values["json"].value
    if path:
        try:
            pathlib.Path(path).write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            raise InputError(f"--json={path} cannot be written ({error.strerror}).") from error
