"""Metrics of segmentation against scikit-learn, and intervals against what they promise."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from ban_tf.errors import InputError
from ban_tf.metrics import segmentation

CLASSES = 5


def some(images=12, seed=0, right=0.6, classes=CLASSES - 1):
    """Masks of which the last class never occurs, with void, and predictions."""
    rng = np.random.default_rng(seed)
    true = rng.integers(-1, classes, (images, 6, 7))
    others = rng.integers(0, classes, true.shape)
    keep = rng.random(true.shape) < right * rng.random((images, 1, 1)) * 2
    return true, np.where(keep & (true >= 0), true, others)


def test_metrics_are_those_of_scikit_learn():
    true, predicted = some()
    valid = true >= 0
    matrices = segmentation.confusion_matrices(true, predicted, CLASSES)
    expected = [
        sklearn_metrics.confusion_matrix(a[v], b[v], labels=range(CLASSES))
        for a, b, v in zip(true, predicted, valid, strict=True)
    ]
    np.testing.assert_array_equal(matrices, expected)
    counts = segmentation.counts(matrices)
    jaccard = sklearn_metrics.jaccard_score(
        true[valid], predicted[valid], labels=range(CLASSES - 1), average=None
    )
    by_class = segmentation.iou_by_class(counts)
    np.testing.assert_allclose(by_class[:-1], jaccard, rtol=1e-14)
    assert np.isnan(by_class[-1])
    found = segmentation.evaluate(counts)
    assert found["examples"] == 12
    assert found["mean_iou"] == pytest.approx(jaccard.mean(), rel=1e-14)
    accuracy = sklearn_metrics.accuracy_score(true[valid], predicted[valid])
    assert found["pixel_accuracy"] == pytest.approx(accuracy, rel=1e-14)
    each = [
        sklearn_metrics.jaccard_score(a[v], b[v], average="macro")
        for a, b, v in zip(true, predicted, valid, strict=True)
    ]
    np.testing.assert_allclose(segmentation.by_image(counts), each, rtol=1e-14)


def test_void_pixels_count_for_nothing():
    true, predicted = some()
    other = np.where(true < 0, 0, predicted)
    for one, two in zip(
        *(
            segmentation.counts(segmentation.confusion_matrices(true, p, CLASSES))
            for p in (predicted, other)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match="No pixel of the masks has a class"):
        nothing = np.full((2, 3, 3), -1)
        segmentation.evaluate(
            segmentation.counts(segmentation.confusion_matrices(nothing, nothing + 1, 2))
        )
    with pytest.raises(InputError, match="one shape"):
        segmentation.confusion_matrices(true, predicted[:3], CLASSES)


def counted(true, predicted):
    return segmentation.counts(segmentation.confusion_matrices(true, predicted, CLASSES))


def test_the_interval_is_that_of_a_plain_bootstrap_over_images():
    true, predicted = some(images=30)
    counts = counted(true, predicted)
    low, high = segmentation.interval(counts)
    rng = np.random.default_rng(7)
    found = []
    for _ in range(1000):
        rows = rng.integers(0, 30, 30)
        found.append(segmentation.mean_iou(segmentation.Counts(*(part[rows] for part in counts))))
    np.testing.assert_allclose((low, high), np.quantile(found, [0.025, 0.975]), atol=0.006)
    assert segmentation.interval(counts) == (low, high)


def test_equal_predictions_do_not_differ_and_better_ones_do():
    true, predicted = some(images=40)
    counts = counted(true, predicted)
    assert segmentation.change(counts, counts) == {"difference": 0, "low": 0, "high": 0, "p": 1.0}
    better = np.where(
        np.random.default_rng(1).random(true.shape) < 0.3, np.maximum(true, 0), predicted
    )
    found = segmentation.change(counted(true, better), counts)
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert found["p"] < 0.01


def test_the_test_is_right_as_often_as_it_promises():
    """Two models of the same quality differ significantly in about five of a hundred cases."""
    p_values = []
    for seed in range(100):
        true, first = some(images=16, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        second = np.where(rng.random(true.shape) < 0.6, first, rng.integers(0, 4, true.shape))
        swap = rng.random((16, 1, 1)) < 0.5
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        p_values.append(segmentation.change(counted(true, one), counted(true, other))["p"])
    assert np.mean(np.array(p_values) < 0.05) <= 0.12
    assert 0.3 < np.mean(p_values) < 0.7
