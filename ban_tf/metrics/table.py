"""The definitions of all metrics: name, label, format, and which direction is better."""

from __future__ import annotations

import math
from typing import NamedTuple


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: The key in summaries and comparisons.
        label: The label in headings and on axes, with its unit.
        scale: The factor of shown values.
        decimals: The number of shown decimals.
        better: The better direction: "lower", "higher", or "" for neither.
        fraction: Whether it lies between 0 and 1.
        lowest: The lowest possible value of one that is no fraction.
        digits: The number of shown significant digits, in place of `decimals`, of one that may
            have any size.
    """

    name: str
    label: str
    scale: float = 1.0
    decimals: int = 4
    better: str = "lower"
    fraction: bool = True
    lowest: float = -0.01  # below zero by rounding
    digits: int | None = None

    def shown(self, value: float) -> str:
        """Formats a value."""
        return self._formatted(self.scale * value, "")

    def change(self, mean: float, low: float, high: float) -> str:
        """Formats a change and its interval."""
        ends = (self._formatted(self.scale * value, "+") for value in (mean, low, high))
        return "{} [{}, {}]".format(*ends)

    def _formatted(self, value: float, sign: str) -> str:
        decimals = self.decimals
        if self.digits is not None:
            before_point = math.floor(math.log10(abs(value))) + 1 if value else 1
            decimals = min(max(self.digits - before_point, 0), 12)
        return f"{value:{sign}.{decimals}f}"

    def improved(self, change: float) -> bool:
        """Returns whether a change is an improvement."""
        return change < 0 if self.better == "lower" else self.better == "higher" and change > 0

    @property
    def title(self) -> str:
        """The label with a capital, for headings."""
        return self.label[0].upper() + self.label[1:]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("perplexity", "test perplexity", decimals=2, fraction=False),
        Metric("validation_perplexity", "validation perplexity", decimals=2, fraction=False),
        Metric("error", "test error (%)", 100.0, 2),
        Metric("negative_log_likelihood", "negative log-likelihood", fraction=False),
        Metric("expected_calibration_error", "expected calibration error"),
        Metric("brier_score", "Brier score", fraction=False),
        Metric("accuracy", "accuracy (%)", 100.0, 2, "higher"),
        Metric("balanced_accuracy", "balanced accuracy (%)", 100.0, 2, "higher"),
        Metric("mean_iou", "mean IoU (%)", 100.0, 2, "higher"),
        Metric("pixel_accuracy", "pixel accuracy (%)", 100.0, 2, "higher"),
        Metric("hamming_loss", "Hamming loss (%)", 100.0, 2),
        Metric("mean_average_precision", "mean average precision (%)", 100.0, 2, "higher"),
        Metric("micro_f1", "micro F1 (%)", 100.0, 2, "higher"),
        Metric("macro_f1", "macro F1 (%)", 100.0, 2, "higher"),
        Metric("confidence", "mean confidence (%)", 100.0, 2, ""),
        Metric("rmse", "test RMSE", fraction=False, digits=4),
        Metric("mae", "test MAE", fraction=False, digits=4),
        Metric("r2", "R²", better="higher", fraction=False, lowest=-1e300),
    )
}
