"""This project's own experiments: the rows under `evidence`, each with its control.

The paper has no figures for them. `--seeds=N` repeats a row. The control, called "labels" or
"baseline", is the same network trained only on labels, from the same initial weights, with
ensembles of the same size.
"""

from __future__ import annotations

from collections.abc import Iterable

from ban_tf.reproduction import columns
from ban_tf.reproduction.experiment import Column, Experiment

_LABELS = ("--gens=3", "--objective=labels")
_SMALL = "evidence/cifar10_2000"


def _columns(runs: dict[str, tuple[str, ...]]) -> Iterable[Column]:
    yield Column("teacher", None, "teacher", "generation 0")
    for run, flags in runs.items():
        last = next((int(flag[-1]) for flag in flags if flag.startswith("--gens=")), 1)
        rows = {str(number): f"generation {number}" for number in range(1, last + 1)}
        if last > 1:
            ensembles = [f"{a}-{b}" for a in (1, 0) for b in range(a + 1, last + 1)]
            rows |= {which: f"ensemble {which}" for which in ensembles}
        for which, row in (rows or {"0": "generation 0"}).items():
            yield Column(f"{run} {which}", None, run, row)


def _images(name: str, runs: dict[str, tuple[str, ...]], teacher: str | None = None) -> Experiment:
    flagfile = f"evidence/{columns.flagfile(name)}"
    reported = tuple(_columns(runs))
    return Experiment(f"evidence/{name}", flagfile, runs, reported, teacher=teacher or flagfile)


def _language(name: str) -> Experiment:
    metrics = {"validation": "validation_perplexity", "test": "perplexity"}
    places = [
        ("teacher", "kd+labels", "generation 0"),
        ("kd+labels", "kd+labels", "generation 1"),
        ("labels", "labels", "generation 1"),
    ]
    reported = tuple(
        Column(f"{who} {split}", None, run, row, metric)
        for who, run, row in places
        for split, metric in metrics.items()
    )
    runs = {"kd+labels": (), "labels": ("--objective=labels",)}
    flagfile = f"evidence/{columns.flagfile(name)}"
    return Experiment(f"evidence/{name}", flagfile, runs, reported)


def experiments() -> list[Experiment]:
    """Returns all rows under `evidence`."""
    pair = {"kd": ("--gens=1",), "labels": ("--gens=1", "--objective=labels")}
    others = {
        "kd+labels": ("--gens=1", "--objective=kd+labels"),
        "cwtm": ("--gens=1", "--objective=cwtm"),
        "dkpp": ("--gens=1", "--objective=dkpp"),
        "label-smoothing": ("--gens=1", "--objective=labels", "--label_smoothing=0.1"),
    }
    sizes = pair | {"kd+labels": others["kd+labels"]}
    lineages = {"kd": ("--gens=3",), "labels": _LABELS}
    further = {
        "kd+labels": ("--gens=3", "--objective=kd+labels"),
        "teacher-ensemble": ("--gens=3", "--teacher=ensemble"),
    }
    six = {"kd": (), "kd+labels": ("--objective=kd+labels",), "labels": ("--objective=labels",)}
    longer: dict[str, tuple[str, ...]] = {
        f"{epochs} epochs": ("--gens=0", f"--epochs={epochs}") for epochs in (80, 160)
    }
    taught = {"kd": (), "kd+labels": ("--objective=kd+labels",)}
    resnet = ("--gens=0", "--arch=resnet-wide-1-1@densenet-22-12")
    densenet = ("--gens=0", "--arch=densenet-22-12")
    return [
        *(_images(f"cifar10-{count}", pair | others) for count in (1000, 5000)),
        _images("lineages", lineages | further, "evidence/cifar10_5000"),
        _images("lineages-small", {"kd+labels": further["kd+labels"], "labels": _LABELS}),
        _images("cifar10-20000", lineages | {"kd+labels": others["kd+labels"]}),
        *(_images(f"cifar10-{count}", sizes) for count in (2000, 10000, "upsampled")),
        _images("recipes", _recipes() | {"labels": pair["labels"]}, "evidence/cifar10_1000"),
        _images("generations", {run: (*flags, "--gens=6") for run, flags in six.items()}, _SMALL),
        _images("longer", longer, _SMALL),
        _images("densenet", lineages),
        _images("densenet-to-resnet", taught | {"baseline": resnet}, "evidence/densenet"),
        _images("wrn-to-densenet", taught | {"baseline": densenet}, _SMALL),
        _language("lstm"),
        _language("cnn-lstm"),
    ]


def _recipes() -> dict[str, tuple[str, ...]]:
    return {
        f"temperature-{temperature}-labels-{weight}": (
            "--gens=1",
            f"--temperature={temperature}",
            f"--label_weight={weight}",
        )
        for temperature in (1, 2, 4)
        for weight in (0, 0.5, 1)
    }
