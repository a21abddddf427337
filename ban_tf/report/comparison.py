"""Several finished runs compared: objectives (or other settings) by seeds.

Runs that differ in nothing but their seed form a group. Within a group every generation and
ensemble has a mean test error, a standard deviation, and the gain on generation 0 of the same
seed, with Student's t interval over seeds. The seed is then the unit that varies: what holds is
expected to hold for another seed.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ban_tf.report import markup, plots, reading, statistics
from ban_tf.rundir import write_atomically

HEADINGS = (
    "of",
    "seeds",
    "mean test error (%)",
    "standard deviation",
    "change against generation 0 of the same seed (95 % interval)",
    "verdict",
)
# Settings that do not part runs into groups.
_FREE = ("seed",)


def compare(runs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Compares runs over seeds.

    Args:
        runs: For each run its settings and its summary.

    Returns:
        {"format": 1, "groups": [{"name", "seeds", "rows": [{"name", "members", "errors",
        "mean", "standard_deviation", "change": {"mean", "low", "high", "significant"} or
        None}]}]}; errors are fractions, one for each seed.

    Raises:
        ValueError: A seed occurs twice in a group, or data sets differ.
    """
    if len({summary["run"]["dataset"] for _, summary in runs}) > 1:
        names = sorted({summary["run"]["dataset"] for _, summary in runs})
        raise ValueError(f"runs on different data sets cannot be compared: {', '.join(names)}.")
    groups: dict[str, dict[int, Mapping[str, Any]]] = {}
    for name, (_, summary) in zip(_names([settings for settings, _ in runs]), runs, strict=True):
        group, seed = groups.setdefault(name, {}), int(summary["run"]["seed"])
        if seed in group:
            raise ValueError(f"seed {seed} of {name} is given twice; give each run once.")
        group[seed] = summary
    return {
        "format": 1,
        "dataset": runs[0][1]["run"]["dataset"],
        "groups": [
            {"name": name, "seeds": sorted(group), "rows": _rows(dict(sorted(group.items())))}
            for name, group in groups.items()
        ],
    }


def _names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names each run by the settings that are not the same in all."""
    keys = sorted({key for each in settings for key in each} - set(_FREE))
    differing = [key for key in keys if len({repr(each.get(key)) for each in settings}) > 1]
    differing = [key for key in differing if key != "objective"]
    return [
        ", ".join(
            [str(each.get("objective", "run")), *(f"{key}={each.get(key)}" for key in differing)]
        )
        for each in settings
    ]


def _rows(group: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the generations and ensembles that every seed has."""
    errors = [_errors(summary) for summary in group.values()]
    shared = [members for members in errors[0] if all(members in each for each in errors)]
    first = np.array([each[(0,)] for each in errors])
    return [
        _row(members, np.array([each[members] for each in errors]), first) for members in shared
    ]


def _errors(summary: Mapping[str, Any]) -> dict[tuple[int, ...], float]:
    single = {(row["generation"],): row["error"] for row in summary["generations"]}
    return single | {tuple(row["members"]): row["error"] for row in summary["ensembles"]}


def _row(members: tuple[int, ...], errors: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    several = len(errors) > 1
    change = None
    if several and members != (0,):
        gain = statistics.paired_gain(errors, first)
        change = {
            "mean": gain.mean,
            "low": gain.low,
            "high": gain.high,
            "significant": bool(gain.low > 0 or gain.high < 0),
        }
    name = "generation" if len(members) == 1 else "ensemble of generations"
    numbers = str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}"
    return {
        "name": f"{name} {numbers}",
        "members": list(members),
        "errors": errors.tolist(),
        "mean": float(errors.mean()),
        "standard_deviation": float(errors.std(ddof=1)) if several else None,
        "change": change,
    }


def rows(group: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns a group's cells, under `HEADINGS`."""
    return [
        (
            row["name"],
            str(len(row["errors"])),
            f"{100 * row['mean']:.2f}",
            "" if row["standard_deviation"] is None else f"{100 * row['standard_deviation']:.2f}",
            *_change_cells(row["change"]),
        )
        for row in group["rows"]
    ]


def _change_cells(change: Mapping[str, Any] | None) -> tuple[str, str]:
    if change is None:
        return "", ""
    numbers = "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(
        **{key: 100 * change[key] for key in ("mean", "low", "high")}
    )
    if not change["significant"]:
        return numbers, "no significant difference"
    return numbers, "better" if change["mean"] < 0 else "worse"


_NOTES = (
    "Errors are on the test set, changes in percentage points, negative is better. Each change is "
    "paired with generation 0 of the same seed; the intervals are Student's t over seeds, and "
    "nothing is corrected for multiple comparisons. Generation 0 has not been trained longer or "
    "again: retraining on labels alone (--objective=labels) is the control for what another "
    "training gives by itself."
)


def write_markdown(comparison: Mapping[str, Any]) -> str:
    """Returns the comparison as Markdown."""
    parts = [f"# Born-again runs on {comparison['dataset']} compared"]
    for group in comparison["groups"]:
        lines = [HEADINGS, [":---", *["---:"] * 4, ":---"], *rows(group)]
        parts += [
            f"## {group['name']}",
            f"Seeds {', '.join(map(str, group['seeds']))}.",
            "\n".join("| " + " | ".join(line) + " |" for line in lines),
        ]
    return "\n\n".join([*parts, _NOTES]) + "\n"


def write_page(comparison: Mapping[str, Any]) -> str:
    """Returns the comparison as one self-contained page."""
    words = "; ".join(
        f"{group['name']}: "
        + ", ".join(f"{row['name']} {100 * row['mean']:.2f} %" for row in group["rows"])
        for group in comparison["groups"]
    )
    picture = markup.figure(
        plots.svg(plots.errors_over_seeds(comparison)),
        "svg+xml",
        f"Mean test error over seeds by generation. {words}.",
        "Small dots are single seeds; lines join the means of generations.",
    )
    sections = [("Error by generation", picture)]
    for group in comparison["groups"]:
        caption = f"{group['name']}, seeds {', '.join(map(str, group['seeds']))}"
        sections.append((group["name"], markup.table(caption, HEADINGS, rows(group))))
    title = f"Born-again runs on {comparison['dataset']} compared"
    return markup.page(title, sections, markup.paragraph(_NOTES, kind="verdict"))


def write(directories: Sequence[str | pathlib.Path], output: str | pathlib.Path) -> dict[str, Any]:
    """Compares finished runs and writes `report.html`, `summary.md` and `summary.json`.

    Args:
        directories: Of the runs.
        output: The folder that the files go to.

    Raises:
        ValueError: A run has no results, the runs cannot be compared, or nothing can be written.
    """
    runs = [reading.RunReader(directory) for directory in directories]
    result = compare([(reading.settings(each), reading.read_summary(each)) for each in runs])
    files = {
        "report.html": write_page(result),
        "summary.md": write_markdown(result),
        "summary.json": json.dumps(result, indent=1) + "\n",
    }
    try:
        for name, text in files.items():
            write_atomically(pathlib.Path(output) / name, text.encode())
    except OSError as error:
        raise ValueError(f"{output} cannot be written ({error.strerror}).") from error
    return result
