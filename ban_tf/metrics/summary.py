"""The summary of a run: the schema of `summary.json`, and how it is computed.

    {"format": 1,
     "run": {"dataset": ..., "architecture": ..., "objective": ..., "seed": ..., ...},
     "average": "probabilities",
     "generations": [
         {"generation": 0, "taught_by": "labels", <metrics>, "error_interval": [low, high],
          "change_in_error": null, "seconds": 12.3, "extra": {}}, ...],
     "ensembles": [
         {"name": "generations 1-2", "members": [1, 2], <metrics>,
          "error_interval": [low, high], "change_in_error": {...}}, ...]}

<metrics> are those of `classification.evaluate`. `error_interval` is Wilson's, 95 %.
`change_in_error` compares with generation 0 on the same examples, as fractions (negative is
better): {"difference", "low", "high", "mcnemar_p", "adjusted_p", "significant"}. A change is only
called significant if its 95 % interval excludes zero and the p-value of McNemar's exact test,
adjusted for the number of rows, is below 0.05; see `intervals.judge`.

`run` may have further entries; of these `table.write_markdown` shows "epochs", "command" and
"files" (a dictionary from paths inside the run directory to descriptions).

A run with `--final_student` also has "final_student": a row like those of generations, with
"members" for the generations of its teacher ensemble, and "directory" for its path.

Ensembles are every prefix 1..k of the born-again generations (k >= 2) and then every prefix 0..k
with generation 0 (k >= 1). Results on the test set are only reported here, never used for
selection.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ban_tf.errors import InputError
from ban_tf.metrics import classification, intervals
from ban_tf.metrics.ensembles import mean_log_probabilities
from ban_tf.metrics.table import METRICS, OF_TEXT

FORMAT = 1
_RUN_KEYS = ("dataset", "architecture", "objective", "seed")
_METRICS = ("examples", *(name for name in METRICS if name not in OF_TEXT))
_COMMON_KEYS = (*_METRICS, "error_interval", "change_in_error")
_KEYS = {
    "generations": ("generation", "taught_by", *_COMMON_KEYS, "seconds", "extra"),
    "ensembles": ("name", "members", *_COMMON_KEYS),
}
_CHANGE_KEYS = ("difference", "low", "high", "mcnemar_p")


@dataclasses.dataclass(frozen=True)
class Member:
    """One generation for the summary.

    Attributes:
        generation: Its number.
        taught_by: A description of its teacher for the table ("labels", "generation 0").
        log_probabilities: Its predictions for the test examples [examples, classes]; None if rows
            of metrics are given instead.
        seconds: Its training time; None if it was not trained here.
        extra: Further entries of its row; JSON can hold them.
    """

    generation: int
    taught_by: str
    log_probabilities: np.ndarray | None
    seconds: float | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


def summarize(
    run: dict[str, Any],
    members: Sequence[Member],
    labels: np.ndarray,
    average: str = "probabilities",
) -> dict[str, Any]:
    """Returns the summary of a run, for `json.dump`.

    Args:
        run: A description of the run; at least dataset, architecture, objective and seed.
        members: Generations 0, 1, ... in this order.
        labels: The true classes of the test examples, integers [examples].
        average: The average of the ensembles: "probabilities" or "logits".

    Returns:
        The dictionary described at the top of this module.

    Raises:
        InputError: If entries are missing or the generations are not 0, 1, ... in order.
    """
    numbers = [member.generation for member in members]
    if not numbers or numbers != list(range(len(numbers))):
        raise InputError(
            f"`members` must be generations 0, 1, 2, ... in this order. Received: {numbers}."
        )
    predictions = [cast(np.ndarray, member.log_probabilities) for member in members]
    measured = rows(predictions, groups(len(members)), labels, average)
    return assemble(run, members, measured, average)


def groups(generations: int) -> list[list[int]]:
    """Returns the generations that each row averages: first each by itself, then the ensembles."""
    return [
        *([number] for number in range(generations)),
        *(
            list(range(first, last + 1))
            for first in (1, 0)
            for last in range(first + 1, generations)
        ),
    ]


def rows(
    predictions: Sequence[np.ndarray],
    groups: Sequence[Sequence[int]],
    labels: np.ndarray,
    average: str = "probabilities",
) -> list[dict[str, Any]]:
    """Returns the metrics of classifiers and of their ensembles.

    Args:
        predictions: Each generation's log-probabilities [examples, classes].
        groups: See the function `groups`.
        labels: The true classes, integers [examples].
        average: The average of the ensembles: "probabilities" or "logits".
    """
    found = []
    for index, members in enumerate(groups):
        chosen = [predictions[member] for member in members]
        joint = chosen[0] if len(chosen) == 1 else mean_log_probabilities(chosen, average)
        found.append(row(joint, labels, predictions[0] if index else None))
    return found


def assemble(
    run: dict[str, Any],
    members: Sequence[Any],
    rows: Sequence[dict[str, Any]],
    average: str = "probabilities",
) -> dict[str, Any]:
    """Returns the summary of a run from its rows of metrics.

    Args:
        run: A description of the run; at least dataset, architecture, objective and seed.
        members: Generations, with the attributes of `Member` except its predictions.
        rows: The metrics of each of `groups(len(members))`.
        average: The average of the ensembles.

    Raises:
        InputError: If entries are missing.
    """
    _require(run, _RUN_KEYS, "`run`")
    generations = [
        {
            "generation": member.generation,
            "taught_by": member.taught_by,
            **row,
            "seconds": None if member.seconds is None else float(member.seconds),
            "extra": dict(member.extra),
        }
        for member, row in zip(members, rows, strict=False)
    ]
    count = len(members)
    ensembles = [
        {"name": f"generations {numbers[0]}-{numbers[-1]}", "members": numbers, **row}
        for numbers, row in zip(groups(count)[count:], rows[count:], strict=True)
    ]
    result = {
        "format": FORMAT,
        "run": dict(run),
        "average": average,
        "generations": generations,
        "ensembles": ensembles,
    }
    judge(result)
    return result


def judge(summary: dict[str, Any]) -> None:
    """Decides which rows differ significantly from generation 0, adjusting for all rows.

    Args:
        summary: "adjusted_p" and "significant" of all its changes are set.
    """
    rows = [*summary["generations"], *summary["ensembles"]]
    if summary.get("final_student"):
        rows.append(summary["final_student"])
    changes = [row["change_in_error"] for row in rows if row["change_in_error"]]
    intervals.judge(changes, "mcnemar_p")


def load(path: str | Path) -> dict[str, Any]:
    """Reads a `summary.json` and checks that all its entries are present.

    Args:
        path: The file, or its run directory.

    Raises:
        InputError: If the file is missing, not JSON, of another format, or lacks a key.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "summary.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the summary {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file: {error}.") from error
    _require(summary, ("format",), str(path))
    if summary["format"] != FORMAT:
        raise InputError(
            f"{path} must be a summary of format {FORMAT}. Received: {summary['format']!r}."
        )
    _require(summary, ("run", "average", "generations", "ensembles"), str(path))
    _require(summary["run"], _RUN_KEYS, f"{path}: run")
    for part, keys in _KEYS.items():
        for index, row in enumerate(summary[part]):
            place = f"{path}: {part}[{index}]"
            _require(row, keys, place)
            if row["change_in_error"] is not None:
                _require(row["change_in_error"], _CHANGE_KEYS, f"{place}: change_in_error")
    judge(summary)  # older summaries are not adjusted
    return summary


def row(
    log_probabilities: np.ndarray, labels: np.ndarray, reference: np.ndarray | None
) -> dict[str, Any]:
    """Returns the metrics of one row and, if there is a reference, the change against it.

    Args:
        log_probabilities: Normalized log-probabilities [examples, classes].
        labels: The true classes, integers [examples].
        reference: The log-probabilities of generation 0, or None.
    """
    metrics = classification.evaluate(log_probabilities, labels)
    wrong = np.argmax(log_probabilities, axis=-1) != labels
    change = None
    if reference is not None:
        reference_wrong = np.argmax(reference, axis=-1) != labels
        change = intervals.change_in_error(wrong, reference_wrong)
    interval = intervals.wilson_interval(int(wrong.sum()), len(wrong))
    return {**metrics, "error_interval": list(interval), "change_in_error": change}


def _require(mapping: Any, keys: Sequence[str], place: str) -> None:
    if not isinstance(mapping, dict):
        raise InputError(f"{place} must be a dictionary. Received: {type(mapping).__name__}.")
    missing = [key for key in keys if key not in mapping]
    if missing:
        raise InputError(
            f"{place} lacks {', '.join(missing)}. Received: {', '.join(map(str, mapping))}."
        )
