"""The definitions of all metrics: name, label, format, and which direction is better."""

from __future__ import annotations

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
    """

    name: str
    label: str
    scale: float = 1.0
    decimals: int = 4
    better: str = "lower"
    fraction: bool = True
    lowest: float = -0.01  # below zero by rounding

    def shown(self, value: float) -> str:
        """Formats a value."""
        return f"{self.scale * value:.{self.decimals}f}"

    def change(self, mean: float, low: float, high: float) -> str:
        """Formats a change and its interval."""
        ends = (f"{self.scale * value:+.{self.decimals}f}" for value in (mean, low, high))
        return "{} [{}, {}]".format(*ends)

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
        Metric("confidence", "mean confidence (%)", 100.0, 2, ""),
    )
}
