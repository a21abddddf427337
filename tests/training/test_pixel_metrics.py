"""The metrics that training shows are those of `metrics.segmentation`, batch by batch."""

import keras
import numpy as np
import pytest

from ban_tf.metrics import segmentation
from ban_tf.training.pixel_metrics import MeanIoU, PixelAccuracy

RNG = np.random.default_rng(0)
LABELS = RNG.integers(-1, 3, (8, 5, 6))
LOGITS = RNG.normal(size=(8, 5, 6, 4)).astype("float32")


def test_metrics_over_batches_are_those_of_all_pixels_with_a_class():
    matrices = segmentation.confusion_matrices(LABELS, LOGITS.argmax(-1), 4)
    expected = segmentation.evaluate(segmentation.counts(matrices))
    accuracy, iou = PixelAccuracy(), MeanIoU(4)
    for rows in (slice(0, 5), slice(5, 8)):
        for metric in (accuracy, iou):
            metric.update_state(LABELS[rows], LOGITS[rows])
    assert float(accuracy.result()) == pytest.approx(expected["pixel_accuracy"], abs=1e-6)
    assert float(iou.result()) == pytest.approx(expected["mean_iou"], abs=1e-6)


def test_images_without_weight_count_for_nothing():
    weights = np.array([1, 1, 0, 1, 0, 1, 1, 1], "float32")
    for make in (PixelAccuracy, lambda: MeanIoU(4)):
        weighted, some = make(), make()
        weighted.update_state(LABELS, LOGITS, weights)
        some.update_state(LABELS[weights > 0], LOGITS[weights > 0])
        assert float(weighted.result()) == pytest.approx(float(some.result()), abs=1e-6)


def test_metrics_are_restored_from_their_configuration():
    for metric in (PixelAccuracy(), MeanIoU(4)):
        again = type(metric).from_config(metric.get_config())
        assert again.name == metric.name
        keras.metrics.serialize(metric)
