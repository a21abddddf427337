"""Pictures over several rows of `evidence`, which none of their own pages can show.

`sizes`: what is gained over the control, by how many images there are to learn from.
`cost`: test error by the epochs that were trained in all: one network for longer, several that know
nothing of each other, and a lineage.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ban_tf.experiments import over_seeds
from ban_tf.experiments.tables import EXPERIMENTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = (1000, 2000, 5000, 10_000)
_TAUGHT = ("kd", "kd+labels", "cwtm", "dkpp")
_LONGER = (80, 160)
_EPOCHS = 40  # of a generation
_ENOUGH = 3  # seeds; the interval of two would be the whole picture


def draw(name: str, root: pathlib.Path, seeds: Sequence[int] | None = None) -> pathlib.Path:
    """Draws a picture of what is there, and returns its file, `evidence/<name>.png`.

    Args:
        name: Which picture.
        root: Where the studies of all seeds are kept.
        seeds: Those to take; by default all that are there.

    Raises:
        ValueError: There is no such picture, or nothing to draw.
    """
    from ban_tf.report import plots
    from ban_tf.rundir import write_atomically

    if name not in PICTURES:
        raise ValueError(f"--draw must be one of {', '.join(PICTURES)}; it is {name}.")
    if seeds is None:
        found = [each.name.removeprefix("seed-") for each in root.glob("seed-*")]
        seeds = sorted(int(each) for each in found if each.isdigit())
    path = root / "evidence" / f"{name}.png"
    write_atomically(path, plots.png(PICTURES[name](root, seeds), 150))
    return path


def _sizes(root: pathlib.Path, seeds: Sequence[int]) -> Figure:
    from ban_tf.report import comparison_page, plots

    series: dict[str, list[tuple[int, Any]]] = {}
    for count in _SIZES:
        for group in _groups(f"evidence/cifar10-{count}", root, seeds):
            for row in group["rows"]:
                told = group["name"] in _TAUGHT and len(group["seeds"]) >= _ENOUGH
                if told and row["name"] == "generation 1":
                    series.setdefault(group["name"], []).append((count, row["metrics"]))
    if not series:
        raise ValueError(
            f"there are no {_ENOUGH} seeds of evidence/cifar10-{_SIZES[0]} and its like in {root}."
        )
    metrics = {name: comparison_page.SHOWN[name] for name in ("error", "negative_log_likelihood")}
    return plots.changes_along(series, metrics, "images to learn from")


def _cost(root: pathlib.Path, seeds: Sequence[int]) -> Figure:
    from ban_tf.report import comparison_page, plots

    rows = {
        (group["name"], row["name"]): row["metrics"]["error"]["values"]
        for name in ("evidence/generations", "evidence/longer")
        for group in _groups(name, root, seeds)
        for row in group["rows"]
    }
    lineages = [each for each in ("kd", "kd+labels") if (each, "generation 1") in rows]
    last = max((int(row.split()[1]) for _, row in rows if row.startswith("generation")), default=0)
    if not lineages:
        raise ValueError(f"nothing of evidence/generations is in {root}.")
    start = (_EPOCHS, rows[lineages[0], "generation 0"])
    sought = {
        "one network, longer": [(each, (f"{each} epochs", "generation 0")) for each in _LONGER],
        "ensemble of independent networks": _ensembles("labels", last),
    }
    for each in lineages:
        sought[f"newest generation, {each}"] = [
            (_EPOCHS * (number + 1), (each, f"generation {number}"))
            for number in range(1, last + 1)
        ]
        sought[f"ensemble of all generations, {each}"] = _ensembles(each, last)
    series = {
        name: [start, *((epochs, rows[key]) for epochs, key in points if key in rows)]
        for name, points in sought.items()
    }
    metric = comparison_page.SHOWN["error"]
    return plots.values_along(series, metric, "epochs of training in all")


def _ensembles(group: str, last: int) -> list[tuple[int, tuple[str, str]]]:
    return [
        (_EPOCHS * (number + 1), (group, f"ensemble of generations 0-{number}"))
        for number in range(1, last + 1)
    ]


def _groups(name: str, root: pathlib.Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    from ban_tf.report import comparison

    places = over_seeds.finished(EXPERIMENTS[name], root, seeds)
    groups = comparison.compare(comparison.read(places)[0])["groups"] if places else []
    return [group | {"name": pathlib.Path(group["runs"][0]).name} for group in groups]


PICTURES = {"sizes": _sizes, "cost": _cost}
