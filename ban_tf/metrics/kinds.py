"""The kinds of summaries: which metrics their tables show, and which of them decides.

A task names its kind; `kind` in a summary is its name, except in those of classifiers and of
language models, whose rows tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ban_tf.metrics import bootstrap
from ban_tf.metrics.table import METRICS, Metric


class Kind(NamedTuple):
    """A kind of results.

    Attributes:
        name: Its name, the entry "kind" of a summary.
        shown: The metrics of the tables, in this order.
        compared: The metric by which rows are compared with generation 0.
        noun: One test example in words, as "test word".
        test: The test of the comparison.
        note: How to read the tables, in a few sentences.
        interval: What the interval of the compared metric is, in a few words.
        method: How rows are compared, in a few sentences.
        p_value: The entry of a change that has the p-value.
        averaged: What ensembles average, if the summary does not say it.
    """

    name: str
    shown: tuple[str, ...]
    compared: str
    noun: str
    test: str
    note: str
    interval: str
    method: str
    p_value: str = "p"
    averaged: str = ""

    @property
    def metric(self) -> Metric:
        """The metric by which rows are compared with generation 0."""
        return METRICS[self.compared]

    def change(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the change of a row against generation 0; None for generation 0 itself."""
        return row["change_in_error" if self.compared == "error" else "change"]

    def interval_of(self, row: Mapping[str, Any]) -> list[float]:
        """Returns the 95 % interval of the compared metric, `[low, high]`."""
        return row["error_interval" if self.compared == "error" else "interval"]


_PAIRED = (
    "Changes against generation 0 are paired by {unit}: the interval is Agresti and Min's (2005), "
    "the test is McNemar's exact test. Calibration error has 15 bins of equal width (Guo et al., "
    "2017)."
)

CLASSIFICATION = Kind(
    "classification",
    ("error", "negative_log_likelihood", "expected_calibration_error"),
    "error",
    "test example",
    "McNemar, exact",
    "Changes are in percentage points of test error, negative is better. Their intervals cover "
    "the choice of test examples, not of the seed: repeat with other seeds before trusting a "
    "small gain.",
    "Wilson's",
    _PAIRED.format(unit="test example"),
    "mcnemar_p",
)
# Of language models in earlier versions.
TEXT = Kind(
    "text",
    ("validation_perplexity", "perplexity", "error"),
    "error",
    "test word",
    "McNemar, exact",
    "Lower perplexity is better. Changes are in percentage points of word prediction error. Their "
    "intervals treat the words of the test text as independent, which makes them too narrow, and "
    "do not cover the seed: repeat with other seeds before trusting a small gain.",
    "Wilson's",
    _PAIRED.format(unit="word"),
    "mcnemar_p",
)

SEGMENTATION = Kind(
    "segmentation",
    ("mean_iou", "pixel_accuracy", "negative_log_likelihood"),
    "mean_iou",
    "test image",
    "permutation by image",
    "Mean IoU is the intersection over union of predicted and true pixels, of all test images "
    "together, averaged over classes; higher is better. Changes are in percentage points of it. "
    "Their intervals cover the choice of test images, not of the seed: repeat with other seeds "
    "before trusting a small gain.",
    "bootstrap",
    "Changes against generation 0 are paired by test image, since pixels of an image are not "
    "independent: the interval is a bootstrap over images (Efron and Tibshirani, 1993), the test a "
    "permutation test that swaps the predictions of both for random images. Pixels without a "
    "class count for nothing.",
)


REGRESSION = Kind(
    "regression",
    ("rmse", "mae", "r2"),
    "rmse",
    "test example",
    "bootstrap",
    "Changes are in the root of the mean squared error (RMSE), in the unit of what is predicted; "
    "negative is better. Their intervals cover the choice of test examples, not of the seed: "
    "repeat with other seeds before trusting a small gain.",
    "bootstrap",
    "Changes against generation 0 are paired by test example: intervals and p-values are those of "
    f"{bootstrap.RESAMPLES:,} resamples of the test examples, the same for all rows (Efron and "
    "Tibshirani, 1993).",
    averaged="predicted numbers",
)

MULTI_LABEL = Kind(
    "multi_label",
    ("hamming_loss", "mean_average_precision", "micro_f1", "macro_f1"),
    "hamming_loss",
    "test image",
    "bootstrap",
    "The Hamming loss is the share of wrong labels, and changes are in its percentage points: "
    "negative is better. A label is predicted from its threshold on, which is that of the highest "
    "F1 on the validation data; the mean average precision needs none. Intervals cover the choice "
    "of test images, not of the seed: repeat with other seeds before trusting a small gain.",
    "bootstrap",
    "Changes against generation 0 are paired by test image: intervals and p-values are from "
    f"{bootstrap.RESAMPLES:,} resamples of the images, all labels of an image together. Single "
    "labels are compared by McNemar's exact test, and adjusted for the number of labels.",
)

LANGUAGE = Kind(
    "language",
    ("validation_perplexity", "perplexity", "error"),
    "perplexity",
    "test word",
    "block bootstrap",
    "Lower perplexity is better; changes are of perplexity. Their intervals resample blocks of "
    "neighboring words of the test text, and do not cover the seed: repeat with other seeds before "
    "trusting a small gain.",
    "bootstrap",
    "Changes against generation 0 are paired by word: the interval and the p-value are those of a "
    "circular bootstrap over blocks of neighboring words (Politis and Romano, 1992).",
)

_ALL = (CLASSIFICATION, TEXT, LANGUAGE, SEGMENTATION, REGRESSION, MULTI_LABEL)
KINDS = {kind.name: kind for kind in _ALL}


def of(summary: Mapping[str, Any]) -> Kind:
    """Returns the kind of a summary."""
    named = summary.get("kind")
    if named is None:
        return TEXT if "perplexity" in summary["generations"][0] else CLASSIFICATION
    return KINDS[named]
