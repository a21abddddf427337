"""Compares several finished runs: objectives (or other settings) over seeds.

Runs that differ only in their seed form a group. Within a group every generation and ensemble has,
for each metric, a mean, a standard deviation, and the change against generation 0 of the same seed,
with Student's t interval over seeds; conclusions thus generalize to other seeds. If there is a
control, such as the same networks trained only on labels, each row is also compared with the
control's row of the same seed.

With many rows, one in twenty null changes would look significant by chance. Therefore the p-values
of all rows of a metric that are compared with generation 0 are adjusted together, and likewise
those compared with the control; see `intervals.judge`.

This module computes the results; `comparison_page` shows them.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ban_tf.config.options import Options
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.metrics import intervals, kinds
from ban_tf.metrics.table import METRICS
from ban_tf.runs import reading
from ban_tf.system import flag_names

FORMAT = 3
# Metrics of text come first.
_SHOWN = {name for kind in kinds.KINDS.values() for name in kind.shown}
COMPARED = tuple(
    metric.name for metric in METRICS.values() if metric.better == "lower" or metric.name in _SHOWN
)
CONTROLS = ("labels", "baseline")
# Settings that do not distinguish groups.
_IGNORED_SETTINGS = ("seed", "examples", "words", "data", "analyse")
NOT_SET = "–"  # for a setting without a value

Rows = dict[str, Mapping[str, Any]]


class Run(NamedTuple):
    """A finished run: its directory, its settings and its summary."""

    directory: pathlib.Path
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]


def read(directories: Sequence[str | pathlib.Path]) -> tuple[list[Run], list[str]]:
    """Reads runs.

    Returns:
        The runs with results, and the directories of those without.

    Raises:
        InputError: A directory is not a run, or none of them has results.
    """
    readers = [reading.RunReader(directory) for directory in directories]
    done = [reader for reader in readers if reading.has_summary(reader)]
    runs = [
        Run(reader.path, reading.settings(reader), reading.read_summary(reader)) for reader in done
    ]
    if not runs:
        raise RunDirectoryError("none of these runs has results yet; finish two at least.")
    return runs, [str(reader.path) for reader in readers if reader not in done]


@flag_names.as_arguments()
def compare(runs: Sequence[Run], control: str | None = None) -> dict[str, Any]:
    """Compares runs over seeds.

    Args:
        runs: The runs to compare.
        control: The name of the group with which the others are also compared; by default
            "labels" or "baseline", if there is one.

    Returns:
        {"format": 3, "dataset", "control", "settings", "unless_named", "groups": [{"name",
        "settings", "seeds", "runs", "rows": [{"name", "members", "metrics": {<metric>: {"values",
        "mean", "standard_deviation", "change", "change_from_control"}}}]}]}. "settings" are those
        that all runs share, "unless_named" those of most groups. There is one value per seed;
        errors are fractions. Changes are None or {"seeds", "values", "mean",
        "standard_deviation", "low", "high", "p_value", "adjusted_p", "significant"}; the interval
        and "p_value" are those of one change, "significant" follows "adjusted_p".

    Raises:
        InputError: A seed occurs twice in a group, datasets differ, or the control does not exist.
    """
    datasets = sorted({run.summary["run"]["dataset"] for run in runs})
    if len(datasets) > 1:
        raise InputError(f"runs on different datasets cannot be compared: {', '.join(datasets)}.")
    displayed = [_display_settings(run) for run in _fill_missing_settings(runs)]
    keys = list(dict.fromkeys(map(_key, displayed)))
    members = {
        key: [run for run, shown in zip(runs, displayed, strict=True) if _key(shown) == key]
        for key in keys
    }
    settings = [dict(key) for key in keys]
    names, unless_named = _names(settings)
    names = _folders(list(members.values())) or names
    seeds = {name: _by_seed(name, members[key]) for name, key in zip(names, keys, strict=True)}
    control = _control(control, names)
    shared = {name for name in settings[0] if len({values[name] for values in settings}) == 1}
    result = {
        "format": FORMAT,
        "dataset": datasets[0],
        "control": control,
        "settings": {name: value for name, value in settings[0].items() if name in shared},
        "unless_named": unless_named,
        "groups": [
            {
                "name": name,
                "settings": {key: value for key, value in values.items() if key not in shared},
                "seeds": list(seeds[name]),
                "runs": [str(run.directory) for run in seeds[name].values()],
                "rows": _rows(seeds[name], None if control in (None, name) else seeds[control]),
            }
            for name, values in zip(names, settings, strict=True)
        ],
    }
    judge(result)
    return result


def judge(result: dict[str, Any]) -> None:
    """Adjusts the p-values of a comparison's changes, by metric and baseline.

    Args:
        result: The result of `compare`; "adjusted_p" and "significant" of all changes are set.
    """
    rows = [row for group in result["groups"] for row in group["rows"]]
    for metric in COMPARED:
        cells = [row["metrics"][metric] for row in rows if metric in row["metrics"]]
        for baseline in ("change", "change_from_control"):
            intervals.judge([cell[baseline] for cell in cells if cell[baseline]])


def _fill_missing_settings(runs: Sequence[Run]) -> list[Run]:
    """Fills in default values for settings that older runs lack."""
    known = {name for run in runs for name in run.settings}
    defaults = {name: value for name, value in Options().settings().items() if name in known}
    return [run._replace(settings={**defaults, **run.settings}) for run in runs]


def _display_settings(run: Run) -> dict[str, str]:
    """Returns the settings that distinguish groups, as text."""
    shown = dict(run.settings) | {"epochs": run.summary["run"].get("epochs")}
    for name in _IGNORED_SETTINGS:
        shown.pop(name, None)
    if shown.get("teacher_from"):
        shown["teacher_from"] = "given"  # each seed has its own file
    return {name: NOT_SET if value is None else str(value) for name, value in shown.items()}


def _key(displayed: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(displayed.items()))


def _names(settings: list[dict[str, str]]) -> tuple[list[str], dict[str, str]]:
    """Names each group by the settings that differ between groups.

    Returns:
        The names, and the values of settings that a name does not mention: those of most groups.
    """
    common = {}
    for name in sorted({name for group in settings for name in group} - {"objective"}):
        values = Counter(group.setdefault(name, NOT_SET) for group in settings)
        value, count = values.most_common(1)[0]
        if len(values) > 1:
            # None if no value has a majority.
            common[name] = value if 2 * count > len(settings) else None
    names = [
        ", ".join(
            [
                group.get("objective", "run"),
                *(f"{name}={group[name]}" for name in common if group[name] != common[name]),
            ]
        )
        for group in settings
    ]
    return names, {name: value for name, value in common.items() if value is not None}


def _folders(groups: list[list[Run]]) -> list[str]:
    """Returns the folder names of groups, if these are the same for all seeds."""
    folders = [{run.directory.resolve().name for run in group} for group in groups]
    names = [group.pop() for group in folders if len(group) == 1]
    several = len(names) == len(set(names)) == len(groups) < sum(map(len, groups))
    return names if several and len(groups) > 1 else []


def _by_seed(name: str, runs: list[Run]) -> dict[int, Run]:
    found: dict[int, Run] = {}
    for run in runs:
        seed = int(run.summary["run"]["seed"])
        if seed in found:
            raise InputError(
                f"seed {seed} of {name} is given twice, as {found[seed].directory} and "
                f"{run.directory}; give each run once."
            )
        found[seed] = run
    return dict(sorted(found.items()))


def _control(wanted: str | None, names: list[str]) -> str | None:
    if wanted is None:
        return next((name for name in CONTROLS if name in names and len(names) > 1), None)
    if wanted not in names:
        raise InputError(f"--control={wanted} is not one of the groups: {'; '.join(names)}.")
    return wanted


def _rows(group: Mapping[int, Run], control: Mapping[int, Run] | None) -> list[dict[str, Any]]:
    """Returns rows for the generations and ensembles that every seed has."""
    found = {seed: _named_rows(run.summary) for seed, run in group.items()}
    others = {seed: _named_rows(run.summary) for seed, run in (control or {}).items()}
    first = next(iter(found.values()))
    return [
        {
            "name": name,
            "members": row.get("members", [row.get("generation")]),
            "metrics": {
                metric: _metric(name, metric, found, others)
                for metric in COMPARED
                if all(metric in summary_rows[name] for summary_rows in found.values())
            },
        }
        for name, row in first.items()
        if all(name in summary_rows for summary_rows in found.values())
    ]


def _named_rows(summary: Mapping[str, Any]) -> Rows:
    rows = {f"generation {row['generation']}": row for row in summary["generations"]}
    rows |= {f"ensemble of {row['name']}": row for row in summary["ensembles"]}
    student = summary.get("final_student")
    return rows | ({"final student": student} if student else {})


def _metric(
    name: str, metric: str, found: Mapping[int, Rows], others: Mapping[int, Rows]
) -> dict[str, Any]:
    values = np.array([rows[name][metric] for rows in found.values()], np.float64)
    change = None
    if name != "generation 0":
        change = _change(
            {seed: (rows[name], rows["generation 0"]) for seed, rows in found.items()}, metric
        )
    pairs = {
        seed: (rows[name], counterpart)
        for seed, rows in found.items()
        if seed in others and (counterpart := _counterpart(name, others[seed]))
    }
    return {
        "values": values.tolist(),
        "mean": float(values.mean()),
        "standard_deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
        "change": change,
        "change_from_control": _change(pairs, metric),
    }


def _counterpart(name: str, control: Rows) -> Mapping[str, Any] | None:
    """Returns the control's row with which a row is compared.

    If the control has one generation, every single network is compared with it.
    """
    if name == "generation 0":
        return None
    if len(control) == 1 and name.startswith("generation"):
        return control["generation 0"]
    return control.get(name)


def _change(
    pairs: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any]]], metric: str
) -> dict[str, Any] | None:
    """Returns the mean paired difference over seeds with its interval; None for one seed.

    `judge` sets its significance when all changes are known.
    """
    if len(pairs) < 2:
        return None
    values, baselines = np.array([[row[metric] for row in pair] for pair in pairs.values()]).T
    gain = intervals.paired_gain(values, baselines)
    return {
        "seeds": len(pairs),
        "values": (values - baselines).tolist(),
        **gain._asdict(),
        "p_value": intervals.paired_p_value(values, baselines),
    }
