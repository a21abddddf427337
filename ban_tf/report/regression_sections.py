"""The sections of `report.html` for predicted numbers: errors, scatter, residuals."""

from __future__ import annotations

import numpy as np

from ban_tf.report import document, examples, pictures, plots, regression_plots
from ban_tf.report.content import Content, NumberContent

CURVES = {
    "val_rmse": "validation RMSE (in standard deviations)",
    "rmse": "training RMSE (in standard deviations)",
    "val_label_loss": "validation loss (labels)",
    "loss": "training loss",
}


def further(content: Content) -> list[document.Section]:
    """Returns the sections on predictions and residuals."""
    if not isinstance(content, NumberContent):
        return []
    named = content.named_predictions()
    first_and_last = {name: named[name] for name in dict.fromkeys(("generation 0", [*named][-1]))}
    scatter = [_scatter(name, rows, content.targets) for name, rows in first_and_last.items()]
    return [
        document.Section("Predictions against the truth", scatter),
        document.Section("Residuals", _residuals(content, first_and_last)),
    ]


def _scatter(name: str, predictions: np.ndarray, targets: np.ndarray) -> document.Figure:
    correlation = np.corrcoef(predictions, targets)[0, 1] if np.ptp(predictions) else 0.0
    return document.Figure(
        plots.svg(regression_plots.against_truth(predictions, targets, name)),
        "svg+xml",
        f"Predictions of {name} against the true numbers, correlation {correlation:.3f}, and its "
        "residuals against its predictions.",
        "On the dashed lines predictions are right. Residuals that bend or widen say that the "
        "network misses something, or that errors grow with the number.",
        wide=True,
    )


def _residuals(content: NumberContent, named: dict[str, np.ndarray]) -> list[document.Block]:
    errors = {name: rows - content.targets for name, rows in named.items()}
    name, last = list(errors.items())[-1]
    rows = [
        (model, *(f"{value:.4g}" for value in (found.mean(), *_quantiles(found))))
        for model, found in errors.items()
    ]
    worst = examples.largest_residuals(named[name], content.targets)
    largest = [
        (
            f"{content.noun} {content.names[index]}" if content.names else f"test example {index}",
            f"{content.targets[index]:.6g}",
            f"{named[name][index]:.6g}",
            f"{last[index]:+.4g}",
        )
        for index in worst
    ]
    return [
        document.Figure(
            plots.svg(regression_plots.residuals(named, content.targets)),
            "svg+xml",
            f"Distribution of the residuals of {' and '.join(named)}; the table has its quantiles.",
            "Predicted minus true; a mean other than zero is a bias.",
        ),
        document.table(
            "Residuals",
            ("generation or ensemble", "mean", "5 %", "25 %", "median", "75 %", "95 %"),
            rows,
        ),
        document.table(
            f"Largest residuals of {name}", ("example", "true", "predicted", "residual"), largest
        ),
        *_pictures(content, named[name], worst),
    ]


def _pictures(
    content: NumberContent, predictions: np.ndarray, chosen: list[int]
) -> list[document.Block]:
    """Returns the images of the largest residuals, of a run on images."""
    if content.pictures is None:
        return []
    see = "Look for wrong numbers in the data, and for images that do not show what is predicted."
    listed = [
        pictures.of_example(
            content,
            index,
            f"{predictions[index]:.6g} predicted, {content.targets[index]:.6g} true",
        )
        for index in chosen
    ]
    return [document.Paragraph(see), document.Gallery(listed)]


def _quantiles(errors: np.ndarray) -> list[float]:
    return np.percentile(errors, [5, 25, 50, 75, 95]).tolist()
