"""Metrics of independent labels, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics as reference

from ban_tf.metrics import intervals, labels


def _random(examples=60, count=5, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    true = (rng.random((examples, count)) < [0.5, 0.2, 0.05, 0.9, 0.3][:count]).astype(int)
    true[0] = 1  # scikit-learn counts a label that never holds as 0
    probabilities = np.clip(0.35 * true + rng.random((examples, count)) * 0.65, 0, 1)
    return probabilities if decimals is None else probabilities.round(decimals), true


@pytest.mark.parametrize("decimals", [None, 1])  # the latter with many equal scores
@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_those_of_scikit_learn(seed, decimals):
    probabilities, true = _random(seed=seed, decimals=decimals)
    thresholds = np.array([0.5, 0.3, 0.7, 0.4, 0.6])
    predicted = probabilities >= thresholds
    found = labels.evaluate(probabilities, true, thresholds)
    wanted = {
        "examples": 60,
        "hamming_loss": reference.hamming_loss(true, predicted),
        "mean_average_precision": reference.average_precision_score(true, probabilities),
        "micro_f1": reference.f1_score(true, predicted, average="micro"),
        "macro_f1": reference.f1_score(true, predicted, average="macro", zero_division=0),
    }
    assert found == pytest.approx(wanted, abs=1e-12)
    each = labels.by_label(probabilities, true, thresholds)
    np.testing.assert_allclose(
        each["average_precision"],
        reference.average_precision_score(true, probabilities, average=None),
    )
    np.testing.assert_allclose(
        each["f1"], reference.f1_score(true, predicted, average=None, zero_division=0)
    )


def test_a_label_that_never_holds_is_left_out_of_the_mean_average_precision():
    probabilities, true = _random()
    true[:, 1] = 0
    rest = [0, 2, 3, 4]
    found = labels.evaluate(probabilities, true, np.full(5, 0.99))
    assert found["mean_average_precision"] == pytest.approx(
        reference.average_precision_score(true[:, rest], probabilities[:, rest])
    )
    assert labels.by_label(probabilities, true, np.full(5, 0.5))["average_precision"][1] is None
    nothing = labels.evaluate(np.zeros((3, 2)), np.zeros((3, 2), int), [0.5, 0.5])
    assert (nothing["micro_f1"], nothing["hamming_loss"]) == (0.0, 0.0)


def test_thresholds_are_those_of_the_highest_f1():
    probabilities, true = _random(seed=3, decimals=2)
    found = labels.best_thresholds(probabilities, true)
    for label, threshold in enumerate(found):
        candidates = np.unique(probabilities[:, label])
        best = max(
            reference.f1_score(true[:, label], probabilities[:, label] >= at) for at in candidates
        )
        ours = reference.f1_score(true[:, label], probabilities[:, label] >= threshold)
        assert ours == pytest.approx(best)
    constant = np.stack([np.zeros(60, int), np.ones(60, int)], axis=1)
    np.testing.assert_array_equal(labels.best_thresholds(probabilities[:, :2], constant), 0.5)
    none = np.empty((0, 2))
    np.testing.assert_array_equal(labels.best_thresholds(none, none.astype(int)), 0.5)


def test_labels_are_compared_by_mcnemar_and_adjusted_for_their_number():
    probabilities, true = _random(200)
    before = _random(200, seed=1)[0] >= 0.5
    found = labels.by_label(probabilities, true, np.full(5, 0.5), before)
    p_values = [
        intervals.mcnemar(
            (probabilities[:, label] >= 0.5) == true[:, label], before[:, label] == true[:, label]
        )
        for label in range(5)
    ]
    np.testing.assert_allclose(found["mcnemar_p"], p_values)
    np.testing.assert_allclose(found["adjusted_p"], stats.false_discovery_control(p_values))
    assert min(found["adjusted_p"]) < 0.05


def test_rows_have_an_interval_and_a_change_against_the_first():
    probabilities, true = _random(400)
    worse = np.where(np.arange(400)[:, np.newaxis] % 8, probabilities, 1 - probabilities)
    first, second = labels.rows([worse, probabilities], true, [np.full(5, 0.5)] * 2)
    assert first["change"] is None and "mcnemar_p" not in first["by_label"]
    low, high = second["interval"]
    assert low < second["hamming_loss"] < high
    # The standard error of a mean over examples, whose labels belong together.
    wrong = ((probabilities >= 0.5) != true).mean(axis=1)
    half = 1.96 * wrong.std(ddof=1) / np.sqrt(400)
    np.testing.assert_allclose([low, high], wrong.mean() + np.array([-half, half]), atol=4e-3)
    change = second["change"]
    assert change["low"] < change["difference"] < change["high"] < 0 and change["p"] < 0.01
    assert change["difference"] == pytest.approx(second["hamming_loss"] - first["hamming_loss"])
    same = labels.rows([worse, worse], true, [np.full(5, 0.5)] * 2)[1]
    assert (same["change"]["difference"], same["change"]["p"]) == (0.0, 1.0)
    assert labels.rows([worse, probabilities], true, [np.full(5, 0.5)] * 2)[1] == second


def test_ensembles_average_probabilities_or_logits():
    odds = np.random.default_rng(0).normal(size=(3, 7, 2))
    np.testing.assert_allclose(labels.mean_probabilities(odds), special.expit(odds).mean(axis=0))
    np.testing.assert_allclose(
        labels.mean_probabilities(odds, "logits"), special.expit(odds.mean(axis=0))
    )
    for wrong in ((np.zeros((3, 2)), np.zeros((3, 1))), (np.zeros(3), np.zeros(3))):
        with pytest.raises(ValueError, match="must have one shape"):
            labels.f1(*wrong)
