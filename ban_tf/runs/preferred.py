"""Which model of a run validation data prefer: a generation, or the ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ban_tf.metrics.table import METRICS
from ban_tf.runs import reading

ENSEMBLE = "ensemble"
BEST = "best"  # the name of whichever model is preferred


class Preferred(NamedTuple):
    """A model of a run, and why it is preferred.

    Attributes:
        model: "ensemble", or the number of a generation.
        reason: A sentence.
    """

    model: str
    reason: str

    @property
    def file(self) -> str:
        """The file of the model in its run."""
        if self.model == ENSEMBLE:
            return f"{ENSEMBLE}.keras"
        return f"generation-{self.model}/model.keras"


def of(run: reading.RunReader) -> Preferred:
    """Returns the model of the best result on validation data.

    The ensemble is preferred to an equally good generation, and where there is no such result.

    Raises:
        RunDirectoryError: The summary is damaged.
    """
    return of_summary(reading.read_summary(run) if reading.has_summary(run) else {})


def of_summary(summary: Mapping[str, Any]) -> Preferred:
    """Returns the model of the best result on validation data that a summary has; see `of`."""
    found = summary.get("validation")
    if not found:
        return Preferred(ENSEMBLE, "The ensemble is used; no validation results tell otherwise.")
    metric = METRICS[found["metric"]]
    sign = -1.0 if metric.better == "higher" else 1.0
    ranked = sorted(found["models"], key=lambda name: _rank(name, sign * found["models"][name]))
    results = ", ".join(f"{metric.shown(found['models'][name])} {_named(name)}" for name in ranked)
    what = metric.label.removeprefix("test ")
    best = [name for name in ranked if found["models"][name] == found["models"][ranked[0]]]
    why = f"its {what} on the validation data is the best"
    if len(best) > 1:
        why = f"no {what} on the validation data is better than its"
    reason = f"{_named(ranked[0]).capitalize()} is used, as {why}: {results}."
    return Preferred(ranked[0], reason)


def resolve(run: reading.RunReader, which: str) -> Preferred:
    """Returns the model of a name, which may be "best"; the reason of another one is empty."""
    return of(run) if which == BEST else Preferred(which, "")


def _rank(model: str, loss: float) -> tuple[float, float]:
    """Returns what is lowest for the best model: of equal ones the ensemble, then the last."""
    return loss, -math.inf if model == ENSEMBLE else -int(model)


def _named(model: str) -> str:
    return "the ensemble" if model == ENSEMBLE else f"generation {model}"
