"""A row of a table over several seeds: means, and what was gained, paired by seed.

Every seed is a study of its own, in `seed-N` below the folder of all. A gain is the difference
between two networks of the same seed, so that a lucky seed favours neither; its interval is
Student's t over seeds, and tells what to expect of another seed. Two gains are of interest: over
the teacher, and over the control, which is as many networks that nobody taught.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ban_tf.experiments import study
from ban_tf.experiments.experiment import Column, Experiment
from ban_tf.report import statistics

# Beside the error, what tells how good the probabilities are.
_FURTHER = {"error": ("negative_log_likelihood", "expected_calibration_error")}
WORDS = {
    "error": "test error (%)",
    "negative_log_likelihood": "negative log-likelihood",
    "expected_calibration_error": "expected calibration error",
    "perplexity": "test perplexity",
    "validation_perplexity": "validation perplexity",
}


def directory(root: pathlib.Path, seed: int) -> pathlib.Path:
    """Returns where a seed's study is kept."""
    return root / f"seed-{seed}"


def run(
    experiment: Experiment, root: pathlib.Path, seeds: Sequence[int], further: Sequence[str] = ()
) -> None:
    """Trains what an experiment lacks of each seed; see `study.run`."""
    for seed in seeds:
        study.run(experiment, directory(root, seed), [*further, f"--seed={seed}"])


def show(experiment: Experiment, root: pathlib.Path, seeds: Sequence[int]) -> None:
    """Prints what is there of each seed.

    Raises:
        ValueError: Nothing is there.
    """
    gathered = gather(experiment, root, seeds)
    if not gathered["columns"]:
        raise ValueError(f"nothing of {experiment.name} is in {root}; --run={experiment.name}.")
    print(f"{experiment.name}, seeds {seeds[0]} to {seeds[-1]}\n\n{write_markdown(gathered)}")


def gather(experiment: Experiment, root: pathlib.Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Reads what is there of an experiment, whatever is missing.

    Args:
        experiment: The row of a table.
        root: Where the seeds' studies are kept.
        seeds: Which of them to look at.

    Returns:
        {"experiment", "columns": [{"name", "metric", "seeds", "values", "mean",
        "standard_deviation", "gain", "gain_over_control"}]}. Values are those of the seeds that
        have one, errors in per cent; a gain is {"mean", "low", "high", "seeds"}, negative where
        the metric fell, or None where fewer than two seeds have both.
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for column in experiment.columns:
        for metric in (column.metric, *_FURTHER.get(column.metric, ())):
            asked = dataclasses.replace(column, metric=metric)
            values = {
                seed: study.figure(experiment, directory(root, seed), asked) for seed in seeds
            }
            found[column.name, metric] = {
                seed: value for seed, value in values.items() if value is not None
            }
    rows = [
        _row(column, metric, found, _teacher(experiment, metric))
        for column in experiment.columns
        for name, metric in found
        if name == column.name and found[name, metric]
    ]
    return {"experiment": experiment.name, "columns": rows}


def _teacher(experiment: Experiment, metric: str) -> str:
    """Returns the name of the first column that has a metric: the teacher's."""
    names = (
        column.name
        for column in experiment.columns
        if metric in (column.metric, *_FURTHER.get(column.metric, ()))
    )
    return next(names)


def _row(
    column: Column,
    metric: str,
    found: Mapping[tuple[str, str], Mapping[int, float]],
    teacher: str,
) -> dict[str, Any]:
    values = found[column.name, metric]
    numbers = np.array(list(values.values()))
    return {
        "name": column.name,
        "metric": metric,
        "seeds": list(values),
        "values": numbers.tolist(),
        "mean": float(numbers.mean()),
        "standard_deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        "gain": None if column.name == teacher else _gain(values, found[teacher, metric]),
        "gain_over_control": _gain(values, found.get((column.control, metric), {})),
    }


def _gain(values: Mapping[int, float], others: Mapping[int, float]) -> dict[str, Any] | None:
    shared = sorted(set(values) & set(others))
    if len(shared) < 2:
        return None
    interval = statistics.paired_gain(
        [values[seed] for seed in shared], [others[seed] for seed in shared]
    )
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "seeds": shared}


def write_markdown(gathered: Mapping[str, Any]) -> str:
    """Returns a table in Markdown for each metric; see `gather`."""
    tables = []
    for metric in dict.fromkeys(each["metric"] for each in gathered["columns"]):
        digits = 2 if metric in ("error", "perplexity", "validation_perplexity") else 3
        rows = [each for each in gathered["columns"] if each["metric"] == metric]
        lines = [
            f"| {WORDS[metric]} | seeds | mean | standard deviation | against the teacher | "
            "against the control |",
            "| :--- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in rows:
            cells = [
                row["name"],
                str(len(row["seeds"])),
                f"{row['mean']:.{digits}f}",
                _deviation(row["standard_deviation"], digits),
                _change(row["gain"], digits),
                _change(row["gain_over_control"], digits),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def _deviation(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _change(gain: Mapping[str, Any] | None, digits: int) -> str:
    if gain is None:
        return ""
    text = f"{gain['mean']:+.{digits}f} [{gain['low']:+.{digits}f}, {gain['high']:+.{digits}f}]"
    return f"**{text}**" if gain["low"] > 0 or gain["high"] < 0 else text
