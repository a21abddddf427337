"""Pictures over several rows of `evidence`, which none of their own pages can show.

Run as `python -m experiments.pictures NAME`, in the folder of the project. The names:

`sizes`: what is gained over the control, by how many images there are to learn from.
`recipes`: the same by temperature, a line for each label weight.
`generations`: the same by generation, and by as large an ensemble.
`cost`: test error by the epochs that were trained in all: one network for longer, several that know
nothing of each other, and a lineage.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ban_tf.errors import InputError
from ban_tf.metrics import intervals
from ban_tf.metrics.table import METRICS, Metric
from ban_tf.report import comparison, comparison_page, comparison_plots, plots, table
from ban_tf.reproduction import over_seeds
from ban_tf.reproduction.tables import EXPERIMENTS
from ban_tf.system.files import write_atomically

_SIZES = (1000, 2000, 5000, 10_000)
_TAUGHT = ("kd", "kd+labels", "cwtm", "dkpp")
_LONGER = (80, 160)
_EPOCHS = 40  # of a generation
_ALONE, _INDEPENDENT = "one network, longer", "ensemble of independent networks"
_NEWEST, _ALL = "newest generation", "ensemble of all generations"
_ENOUGH = 3  # seeds; the interval of two would be the whole picture


def draw(
    name: str, root: pathlib.Path, seeds: Sequence[int] | None = None
) -> tuple[pathlib.Path, str]:
    """Draws a picture of what is there, and makes the table behind it.

    Args:
        name: Which picture.
        root: Where the studies of all seeds are kept.
        seeds: Those to take; by default all that are there.

    Returns:
        The picture's file, `evidence/<name>.png`, and the table as Markdown.

    Raises:
        InputError: There is nothing to draw.
    """
    if seeds is None:
        found = [folder.name.removeprefix("seed-") for folder in root.glob("seed-*")]
        seeds = sorted(int(entry) for entry in found if entry.isdigit())
    figure, markdown = PICTURES[name](root, seeds)
    path = root / "evidence" / f"{name}.png"
    write_atomically(path, plots.png(figure, 150))
    return path, markdown


def _sizes(root: pathlib.Path, seeds: Sequence[int]) -> tuple[Figure, str]:
    rows = [
        (group["name"], count, row)
        for count in _SIZES
        for group in _groups(f"evidence/cifar10-{count}", root, seeds)
        for row in group["rows"]
        if group["name"] in _TAUGHT and row["name"] == "generation 1"
    ]
    sought = f"evidence/cifar10-{_SIZES[0]} and its like in {root}"
    return _changes("generation 1 by", "images to learn from", rows, sought)


def _recipes(root: pathlib.Path, seeds: Sequence[int]) -> tuple[Figure, str]:
    rows = []
    for group in _groups("evidence/recipes", root, seeds):
        found = re.fullmatch(r"temperature-(\d+)-labels-(.+)", group["name"])
        if found:
            temperature, weight = found.groups()
            row = next(row for row in group["rows"] if row["name"] == "generation 1")
            rows.append((f"label weight {weight}", int(temperature), row))
    sought = f"evidence/recipes in {root}"
    return _changes("generation 1 with", "temperature", rows, sought)


def _generations(root: pathlib.Path, seeds: Sequence[int]) -> tuple[Figure, str]:
    rows = [
        (f"{kind}, {group['name']}", row["members"][-1], row)
        for kind, first in (("newest", "generation"), ("ensemble", "ensemble of generations 0"))
        for group in _groups("evidence/generations", root, seeds)
        for row in group["rows"]
        if group["name"] in _TAUGHT and row["name"].startswith(first)
    ]
    sought = f"evidence/generations in {root}"
    heading = "newest, or ensemble of all"
    return _changes(heading, "generation", rows, sought, logarithmic=False)


def _changes(
    heading: str,
    along: str,
    rows: Sequence[tuple[str, int, Mapping[str, Any]]],
    sought: str,
    logarithmic: bool = True,
) -> tuple[Figure, str]:
    """Changes from the control: rows by the name of their line and their place on it."""
    series: dict[str, list[tuple[int, Any]]] = {}
    for name, place, row in rows:
        change = row["metrics"]["error"]["change_from_control"]
        if change and change["seeds"] >= _ENOUGH:
            series.setdefault(name, []).append((place, row["metrics"]))
    if not series:
        raise InputError(f"there are no {_ENOUGH} seeds of {sought}.")
    metrics = _metrics()
    lines = [
        (
            name,
            f"{place:,}",
            *(
                comparison_page.format_change(row[value]["change_from_control"], metric)
                for value, metric in metrics.items()
            ),
        )
        for name, points in series.items()
        for place, row in points
    ]
    headings = (heading, along, *(f"{value.label}, change" for value in metrics.values()))
    figure = comparison_plots.changes_along(series, metrics, along, logarithmic)
    return figure, table.markdown_table(headings, lines, texts=2)


def _cost(root: pathlib.Path, seeds: Sequence[int]) -> tuple[Figure, str]:
    rows = {
        (group["name"], row["name"]): {**row["metrics"], "seeds": group["seeds"]}
        for name in ("evidence/generations", "evidence/longer")
        for group in _groups(name, root, seeds)
        for row in group["rows"]
    }
    lineages = [kind for kind in ("kd", "kd+labels") if (kind, "generation 1") in rows]
    last = max((int(row.split()[1]) for _, row in rows if row.startswith("generation")), default=0)
    if not lineages:
        raise InputError(f"nothing of evidence/generations is in {root}.")
    start = (_EPOCHS, rows[lineages[0], "generation 0"])
    sought = {
        _ALONE: [(entry, (f"{entry} epochs", "generation 0")) for entry in _LONGER],
        _INDEPENDENT: _ensembles("labels", last),
    }
    for lineage in lineages:
        sought[f"{_NEWEST}, {lineage}"] = [
            (_EPOCHS * (number + 1), (lineage, f"generation {number}"))
            for number in range(1, last + 1)
        ]
        sought[f"{_ALL}, {lineage}"] = _ensembles(lineage, last)
    series = {
        name: [start, *((epochs, rows[key]) for epochs, key in points if key in rows)]
        for name, points in sought.items()
    }
    drawn = {
        name: [(epochs, row["error"]["values"]) for epochs, row in points]
        for name, points in series.items()
    }
    metric = _metrics()["error"]
    figure = comparison_plots.values_along(drawn, metric, "epochs of training in all")
    return figure, _costs(series)


def _costs(series: Mapping[str, Sequence[tuple[int, Any]]]) -> str:
    """What each way has for its epochs, and for as many as the two that know no lineage."""
    metrics = _metrics()
    by_cost = {(epochs, name): row for name, points in series.items() for epochs, row in points[1:]}
    lines = []
    for (epochs, name), row in sorted(by_cost.items(), key=lambda each: each[0][0]):
        cells = [str(epochs), name]
        for entry in metrics:
            cells.append(comparison_page.format_mean(row[entry], metrics[entry]))
            cells += [
                "" if other == name else _difference(row, by_cost.get((epochs, other)), entry)
                for other in (_ALONE, _INDEPENDENT)
            ]
        lines.append(cells)
    headings = ["epochs", "way"]
    for metric in metrics.values():
        headings += [metric.label, "change from one network", "change from independent ones"]
    return table.markdown_table(headings, lines, texts=2)


def _difference(row: Mapping[str, Any], other: Mapping[str, Any] | None, metric: str) -> str:
    """The change from another row, paired by seed; nothing where that cannot be said."""
    if other is None or other["seeds"] != row["seeds"] or len(row["seeds"]) < _ENOUGH:
        return ""
    gain = intervals.paired_gain(row[metric]["values"], other[metric]["values"])
    return comparison_page.format_change(gain._asdict(), _metrics()[metric])


def _metrics() -> dict[str, Metric]:
    return {name: METRICS[name] for name in ("error", "negative_log_likelihood")}


def _ensembles(group: str, last: int) -> list[tuple[int, tuple[str, str]]]:
    return [
        (_EPOCHS * (number + 1), (group, f"ensemble of generations 0-{number}"))
        for number in range(1, last + 1)
    ]


def _groups(name: str, root: pathlib.Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    places = over_seeds.finished(EXPERIMENTS[name], root, seeds)
    groups = comparison.compare(comparison.read(places)[0])["groups"] if places else []
    return [group | {"name": pathlib.Path(group["runs"][0]).name} for group in groups]


PICTURES = {
    "sizes": _sizes,
    "recipes": _recipes,
    "generations": _generations,
    "cost": _cost,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws one picture; returns the exit code, 2 where there is nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pictures", description="Pictures over rows of evidence."
    )
    parser.add_argument("name", choices=PICTURES)
    parser.add_argument("--seeds", type=int, metavar="N", help="0 to N-1; default: all there are")
    parser.add_argument(
        "--workdir",
        type=pathlib.Path,
        default=pathlib.Path("runs/experiments"),
        help="where the studies are kept (default: %(default)s)",
    )
    known = parser.parse_args(arguments)
    if known.seeds is not None and known.seeds < 1:
        parser.error(f"--seeds must be at least 1; it is {known.seeds}.")
    try:
        path, markdown = draw(known.name, known.workdir, known.seeds and range(known.seeds))
    except InputError as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 2
    print(f"{markdown}\nThe picture is {path}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
