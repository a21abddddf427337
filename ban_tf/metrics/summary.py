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

<metrics> are those of `classification.evaluate`; generations also have "by_class", the result of
`classification.by_class` as lists. `error_interval` is Wilson's, 95 %.
`change_in_error` compares with generation 0 on the same examples, as fractions (negative is
better): {"difference", "low", "high", "mcnemar_p", "adjusted_p", "significant"}. A change is only
called significant if its 95 % interval excludes zero and the p-value of McNemar's exact test,
adjusted for the number of rows, is below 0.05; see `intervals.judge`.

`run` may have further entries; of these `table.write_markdown` shows "epochs", "command" and
"files" (a dictionary from paths inside the run directory to descriptions).

A run with validation data also has "validation": {"metric", "models"}, the result of each
generation and of "ensemble", the average of the born-again ones, by which a model is chosen.

A run with `--final_student` also has "final_student": a row like those of generations, with
"members" for the generations of its teacher ensemble, and "directory" for its path.

Summaries of other kinds (see `kinds`) have an entry "kind", the metrics of that kind, "interval"
and "change", which has "p" in place of "mcnemar_p".

Ensembles are every prefix 1..k of the born-again generations (k >= 2) and then every prefix 0..k
with generation 0 (k >= 1). Results on the test set are only reported here, never used for
selection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ban_tf.errors import CorruptFileError, InputError
from ban_tf.metrics import classification, intervals, kinds, summary_schema
from ban_tf.metrics.ensembles import mean_log_probabilities
from ban_tf.system import json_schema, safe_files

_OF_CLASSIFIERS = (
    *("error", "accuracy", "confidence", "negative_log_likelihood", "brier_score"),
    *("expected_calibration_error", "error_interval", "change_in_error"),
)


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


def errors(
    predictions: Sequence[np.ndarray],
    groups: Sequence[Sequence[int]],
    labels: np.ndarray,
    average: str = "probabilities",
) -> list[float]:
    """Returns the error of classifiers and of their averages, for each group; see `rows`."""
    found = []
    for members in groups:
        chosen = [predictions[member] for member in members]
        joint = chosen[0] if len(chosen) == 1 else mean_log_probabilities(chosen, average)
        found.append(float(np.mean(np.argmax(joint, axis=-1) != labels)))
    return found


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
        if len(chosen) == 1:
            by_class = classification.by_class(joint, labels)
            found[-1]["by_class"] = {name: column.tolist() for name, column in by_class.items()}
    return found


def assemble(
    run: dict[str, Any],
    members: Sequence[Any],
    rows: Sequence[dict[str, Any]],
    average: str = "probabilities",
    kind: str | None = None,
) -> dict[str, Any]:
    """Returns the summary of a run from its rows of metrics.

    Args:
        run: A description of the run; at least dataset, architecture, objective and seed.
        members: Generations, with the attributes of `Member` except its predictions.
        rows: The metrics of each of `groups(len(members))`.
        average: The average of the ensembles.
        kind: One of `kinds.KINDS`; None for classifiers.

    Raises:
        InputError: If entries are missing.
    """
    json_schema.check(run, {**summary_schema.RUN, "properties": {}}, "`run`", InputError)
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
        "format": summary_schema.FORMAT,
        "run": dict(run),
        **({} if kind is None else {"kind": kind}),
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
    kind = kinds.of(summary)
    changes = [kind.change(row) for row in _all_rows(summary)]
    intervals.judge([change for change in changes if change], kind.p_value)


def _all_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    student = summary.get("final_student")
    return [*summary["generations"], *summary["ensembles"], *([student] if student else [])]


def load(path: str | Path) -> dict[str, Any]:
    """Reads and checks a `summary.json`.

    Args:
        path: The file, or its run directory.

    Raises:
        InputError: If the file cannot be read, or is not a summary; see `from_json`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "summary.json"
    try:
        content = safe_files.read_below(path)
    except OSError as error:
        raise InputError(f"Cannot read the summary {path}: {error.strerror}.") from error
    return from_json(content, path)


def from_json(content: bytes, name: object) -> dict[str, Any]:
    """Returns the summary in a `summary.json`, after checking its entries.

    Args:
        content: The content of the file.
        name: The name of the file, for messages.

    Raises:
        InputError: It is not JSON, of another format, or an entry is missing or invalid.
    """
    summary = json_schema.read(content, summary_schema.SUMMARY, name)
    numbers = [row["generation"] for row in summary["generations"]]
    members = [number for row in summary["ensembles"] for number in row["members"]]
    if numbers != list(range(len(numbers))) or max(members, default=0) >= len(numbers):
        raise CorruptFileError(f"{name} must have the generations 0, 1, 2, ... in this order.")
    _check_rows(summary, name)
    judge(summary)  # older summaries are not adjusted
    return summary


def _check_rows(summary: dict[str, Any], name: object) -> None:
    """Checks that every row has the metrics of the summary's kind."""
    kind = kinds.of(summary)
    if kind in (kinds.CLASSIFICATION, kinds.TEXT):
        needed = {*_OF_CLASSIFIERS, *(("perplexity",) if kind is kinds.TEXT else ())}
    else:
        # An evaluation on other data has no validation results.
        needed = {*kind.shown, "interval", "change"} - {"validation_perplexity"}
    named = [
        (f"{part}[{place}]", row)
        for part in ("generations", "ensembles")
        for place, row in enumerate(summary[part])
    ]
    if summary.get("final_student"):
        named.append(("final_student", summary["final_student"]))
    for place, row in named:
        missing = sorted(needed - row.keys())
        if missing:
            raise CorruptFileError(f"{name}: {place} lacks {', '.join(missing)}.")
    if kind is kinds.CLASSIFICATION and any("perplexity" in row for row in _all_rows(summary)):
        raise CorruptFileError(f"{name} has a perplexity in some rows and none in others.")


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
