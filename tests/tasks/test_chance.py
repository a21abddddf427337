"""The accuracy of chance on the validation data of a run."""

import numpy as np
import pytest
from scipy import stats

from ban_tf.lineage import collapse
from ban_tf.tasks import chance


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1], [0, 1, 0]])
def test_too_few_labels_have_no_chance_to_compare_with(labels):
    assert chance.of_accuracy(np.array(labels, np.int64)) is None


def test_chance_is_above_the_share_of_the_commonest_class():
    limit = chance.of_accuracy(np.arange(100) % 4)
    assert limit == pytest.approx(0.25 + 1.645 * (0.25 * 0.75 / 100) ** 0.5)


@pytest.mark.parametrize("counts", [(10, 10), (20, 5, 5), (8, 6, 4, 2), (300, 100, 50)])
def test_the_commonest_class_is_rarely_above_chance_by_luck(counts):
    """By the exact binomial distribution, also where there are few images."""
    labels = np.repeat(np.arange(len(counts)), counts)
    share = counts[0] / len(labels)
    above = np.floor(chance.of_accuracy(labels) * len(labels))
    assert 0.01 < stats.binom.sf(above, len(labels), share) < 0.09


@pytest.mark.parametrize("counts", [(40, 10), (20, 5, 5), (300, 100, 50)])
def test_guessing_is_rarely_above_balanced_chance_by_luck(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    limit = chance.of_balanced_accuracy(labels)
    found = np.random.default_rng(0).binomial(counts, 1 / len(counts), (20_000, len(counts)))
    assert 0.01 < np.mean((found / counts).mean(-1) > limit) < 0.09
    assert limit > 1 / len(counts)  # of predicting a single class


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1]])
def test_too_few_labels_have_no_balanced_chance(labels):
    assert chance.of_balanced_accuracy(np.array(labels, np.int64)) is None


def test_always_predicting_the_commonest_class_is_the_chance_of_pixels():
    labels = np.repeat([0, 1, 3], [60, 30, 10])
    assert chance.of_mean_iou(labels) == pytest.approx(0.6 / 3, abs=1e-5)
    assert chance.of_mean_iou(np.zeros(5, np.uint8)) is None


@pytest.mark.parametrize("counts", [(5, 5, 5), (60, 30, 10), (50,) * 4])
def test_only_what_chance_often_reaches_is_no_better_than_chance(counts):
    """By the exact binomial distribution, for every number of right predictions."""
    limit = chance.of_accuracy(np.repeat(np.arange(len(counts)), counts))
    total = sum(counts)
    for right in range(total + 1):
        as_likely = stats.binom.sf(right - 1, total, max(counts) / total)
        collapsed = collapse.has_collapsed({"val_accuracy": right / total}, limit)
        assert as_likely > 0.03 if collapsed else as_likely < 0.09
