"""Figures show the numbers that they are given, and are small, stable and readable."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from ban_tf.metrics import classification, summary
from ban_tf.report import plots


@pytest.fixture(scope="module")
def predictions():
    """Log-probabilities of three generations [300, 4], and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=300)
    logits = rng.normal(size=(3, 300, 4))
    logits[:, np.arange(300), labels] += 1.5
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)), labels


@pytest.fixture(scope="module")
def content(predictions):
    log_probabilities, labels = predictions
    members = [
        summary.Member(k, "labels", probability) for k, probability in enumerate(log_probabilities)
    ]
    run = {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0}
    return summary.summarize(run, members, labels)


def test_errors_are_drawn_with_their_wilson_intervals(content):
    (axes,) = plots.metric_by_generation(content).axes
    for container, rows in zip(
        axes.containers,
        (content["generations"], content["ensembles"][:1], content["ensembles"][1:]),
        strict=True,
    ):
        line, _, (bars,) = container
        np.testing.assert_allclose(line.get_ydata(), [100 * row["error"] for row in rows])
        drawn = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(drawn, [np.multiply(100, row["error_interval"]) for row in rows])
    assert axes.get_ylim()[0] == 0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "single generation",
        "ensemble from generation 1 on",
        "ensemble from generation 0 on",
    ]


def test_a_first_generation_alone_has_a_figure(content):
    alone = {**content, "generations": content["generations"][:1], "ensembles": []}
    (axes,) = plots.metric_by_generation(alone).axes
    assert len(axes.containers) == 1


def test_learning_curves_pass_over_what_an_epoch_has_not():
    histories = {
        0: [{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0, "val_accuracy": 0.5}],
        1: [{"epoch": 1.0, "loss": 1.5, "val_accuracy": 0.7}],
    }
    left, right = plots.learning_curves(
        histories, {"loss": "loss", "val_accuracy": "accuracy"}
    ).axes
    assert [line.get_xydata().tolist() for line in left.lines] == [[[1, 2], [2, 1]], [[1, 1.5]]]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[2, 0.5]], [[1, 0.7]]]
    assert [line.get_marker() != "None" for line in left.lines] == [False, True]  # one epoch


def test_a_distribution_is_that_of_the_last_epoch_as_shares():
    histories = {
        2: [{"epoch": 1, "kl": 2.0, "counts": [9, 9]}, {"epoch": 2, "kl": 1.0, "counts": [1, 3]}]
    }
    curve, distribution = plots.curves_and_distribution(
        histories, {"kl": "KL"}, ("counts", "confidence"), {2: "generation 2"}
    ).axes
    assert curve.lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    values, edges, _ = distribution.patches[0].get_data()
    assert values.tolist() == [0.25, 0.75] and edges.tolist() == [0, 0.5, 1]


def test_no_two_of_the_first_generations_look_alike_without_color():
    histories = {k: [{"epoch": 1.0, "loss": 1.0}] for k in range(4)}
    (axes,) = plots.learning_curves(histories, {"loss": "loss"}).axes
    assert len({line.get_linestyle() for line in axes.lines}) == 4


def test_reliability_diagrams_show_each_filled_bin(predictions):
    log_probabilities, labels = predictions
    diagrams = {
        f"generation {k}": classification.reliability(probability, labels)
        for k, probability in enumerate(log_probabilities)
    }
    figure = plots.reliability_diagrams(diagrams)
    for axes, (title, bins) in zip(figure.axes, diagrams.items(), strict=True):
        filled = bins["count"] > 0
        assert axes.get_title() == title
        np.testing.assert_allclose(
            axes.collections[-1].get_offsets(),
            np.stack([bins["confidence"][filled], bins["accuracy"][filled]], axis=-1),
        )


def test_a_confusion_matrix_shows_counts_of_few_classes_and_no_names_of_many():
    counts = np.array([[5, 1], [0, 4]])
    axes = plots.confusion_matrix(counts, ["cat", "dog"]).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "4", "5"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    many = plots.confusion_matrix(np.eye(100, dtype=int), [f"class {k}" for k in range(100)])
    assert not many.axes[0].texts
    assert "class 3" not in [label.get_text() for label in many.axes[0].get_xticklabels()]
    some = plots.confusion_matrix(counts, ["cat", "dog"], totals=np.array([12, 8]))
    np.testing.assert_allclose(some.axes[0].images[0].get_array(), [[5 / 12, 1 / 12], [0, 0.5]])


def test_counts_can_be_read_on_every_shade():
    counts = np.array([[part, 200 - part] for part in range(1, 200)])
    for rows in np.array_split(counts, 20):
        square = np.zeros((len(rows), len(rows)), int)
        square[:, :2] = rows
        axes = plots.confusion_matrix(square, [""] * len(rows)).axes[0]
        shades = axes.images[0].cmap(axes.images[0].get_array())
        for text in axes.texts:
            column, row = map(int, text.get_position())
            light, dark = sorted(
                map(_luminance, (shades[row, column], to_rgba(text.get_color()))), reverse=True
            )
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(color):
    """Relative luminance, as in the Web Content Accessibility Guidelines."""
    parts = np.asarray(color[:3])
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_a_class_without_examples_is_no_division_by_zero():
    counts = np.array([[3, 0], [0, 0]])
    image = plots.confusion_matrix(counts, ["a", "b"]).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), [[1, 0], [0, 0]])


def test_files_are_small_images_and_the_same_for_the_same_numbers(content):
    first, second = (plots.svg(plots.metric_by_generation(content)) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")
    picture = plots.png(plots.metric_by_generation(content))
    assert len(picture) < 100_000
    assert Image.open(io.BytesIO(picture)).size == (660, 396)


@pytest.mark.filterwarnings("error")
def test_names_of_classes_that_the_font_lacks_are_left_to_the_browser():
    figure = plots.confusion_matrix(np.eye(2, dtype=int), ["猫", "dog"])
    assert "猫" in plots.svg(figure).decode() and plots.png(figure)
    figure = plots.confusion_matrix(np.eye(2, dtype=int), ["cat", "dog"])
    assert b"<text" not in plots.svg(figure)
