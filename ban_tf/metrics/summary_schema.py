"""The schema of `summary.json`; see `summary` for what its entries are."""

from __future__ import annotations

from typing import Any

from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS

FORMAT = 1
_RUN_KEYS = ("dataset", "architecture", "objective", "seed")
_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
# Probabilities sum to one up to rounding.
_CHANCE = {"type": "number", "minimum": -0.01, "maximum": 1.01}
_INTERVAL = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_DIFFERENCE = {"type": "number", "minimum": -2, "maximum": 2}
_CHANGE = {
    "type": ["object", "null"],
    "required": ["difference", "low", "high", "mcnemar_p"],
    "properties": {
        "difference": _DIFFERENCE,
        "low": _DIFFERENCE,
        "high": _DIFFERENCE,
        "mcnemar_p": _CHANCE,
    },
}
_METRICS = {
    metric.name: _CHANCE if metric.fraction else {"type": "number", "minimum": metric.lowest}
    for metric in METRICS.values()
}
_OTHER_CHANGE = {
    "type": ["object", "null"],
    "required": ["difference", "low", "high", "p"],
    "properties": {
        **dict.fromkeys(("difference", "low", "high"), _NUMBER),
        "p": _CHANCE,
    },
}
_OF_CLASSES = 2**20  # more than any dataset has
_FRACTIONS = {"type": "array", "maxItems": _OF_CLASSES, "items": _CHANCE}
_BY_CLASS = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("precision", "recall", "f1"), _FRACTIONS),
        "support": {"type": "array", "maxItems": _OF_CLASSES, "items": _COUNT},
    },
}
_OF_LABELS = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("threshold", "f1", "error", "mcnemar_p", "adjusted_p"), _FRACTIONS),
        "average_precision": {**_FRACTIONS, "items": {**_CHANCE, "type": ["number", "null"]}},
        "support": {"type": "array", "maxItems": _OF_CLASSES, "items": _COUNT},
    },
}
_ROW = {
    "examples": {"type": "integer", "minimum": 1},
    **_METRICS,
    "error_interval": _INTERVAL,
    "change_in_error": _CHANGE,
    "interval": _INTERVAL,
    "change": _OTHER_CHANGE,
    "by_label": _OF_LABELS,  # see `labels.by_label`
    "perplexity_interval": {**_INTERVAL, "type": ["array", "null"]},
}
_GENERATION = {
    "generation": _COUNT,
    "taught_by": _TEXT,
    **_ROW,
    "by_class": _BY_CLASS,
    "seconds": {"type": ["number", "null"], "minimum": 0, "maximum": 1e12},
    "extra": {"type": "object", "properties": {"collapsed": {"type": "boolean"}}},
}
_ENSEMBLE = {
    "name": _TEXT,
    "members": {"type": "array", "items": _COUNT, "minItems": 1},
    **_ROW,
}
# What each row needs, besides the metrics of its kind.
_ALWAYS = ("examples", "generation", "taught_by", "seconds", "extra", "name", "members")


def _row(properties: dict[str, Any]) -> dict[str, Any]:
    required = [name for name in properties if name in _ALWAYS]
    return {"type": "object", "required": required, "properties": properties}


_MOST_ROWS = 20_000
RUN = {
    "type": "object",
    "required": list(_RUN_KEYS),
    "properties": {
        "dataset": _TEXT,
        "architecture": _TEXT,
        "objective": _TEXT,
        "command": _TEXT,
        "finished": _TEXT,
        "seed": {"type": "integer"},
        "epochs": _COUNT,
        "environment": _TEXTS,
        "files": _TEXTS,
    },
}
SUMMARY = {
    "type": "object",
    "properties": {
        "format": {"const": FORMAT},
        "run": RUN,
        "kind": {"enum": list(kinds.KINDS)},
        "average": {"enum": ["probabilities", "logits"]},
        "validation": {
            "type": "object",
            "required": ["metric", "models"],
            "properties": {
                "metric": {"enum": list(METRICS)},
                "models": {
                    "type": "object",
                    "propertyNames": {"pattern": r"^(ensemble|0|[1-9][0-9]{0,5})\Z"},
                    "additionalProperties": _NUMBER,
                    "minProperties": 1,
                },
            },
        },
        "generations": {
            "type": "array",
            "minItems": 1,
            "maxItems": _MOST_ROWS,
            "items": _row(_GENERATION),
        },
        "ensembles": {"type": "array", "maxItems": _MOST_ROWS, "items": _row(_ENSEMBLE)},
        "final_student": _row({**_GENERATION, "generation": {"type": ["string", "integer"]}}),
    },
    "required": ["format", "run", "average", "generations", "ensembles"],
}
