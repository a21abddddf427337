"""Metrics of numbers equal scikit-learn's; intervals cover, are paired and can be repeated."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from ban_tf.errors import InputError
from ban_tf.metrics import bootstrap, regression


def numbers(seed=0, examples=120):
    rng = np.random.default_rng(seed)
    targets = rng.normal(100.0, 30.0, examples)
    return [targets + rng.normal(0.0, scale, examples) for scale in (20.0, 12.0)], targets


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_equal_scikit_learn(dtype):
    (predictions, _), targets = numbers()
    predictions = predictions.astype(dtype)
    found = regression.evaluate(predictions, targets)
    assert found["examples"] == 120
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(targets, predictions))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(targets, predictions))
    assert found["r2"] == pytest.approx(metrics.r2_score(targets, predictions))


@pytest.mark.parametrize("predictions", [[3.0, 3.0], [3.0, 4.0]])
def test_equal_targets_have_the_r2_of_scikit_learn(predictions):
    found = regression.evaluate(predictions, [3.0, 3.0])
    assert found["r2"] == metrics.r2_score([3.0, 3.0], predictions)


def test_an_ensemble_averages_numbers():
    members, targets = numbers()
    rows = regression.rows(members, [[0], [1], [0, 1]], targets)
    wanted = metrics.root_mean_squared_error(targets, np.mean(members, axis=0))
    assert rows[2]["rmse"] == pytest.approx(wanted)
    assert [row["change"] is None for row in rows] == [True, False, False]


def test_a_change_is_paired_and_equals_the_bootstrap_of_scipy():
    members, targets = numbers()
    row = regression.rows(members, [[0], [1]], targets)[1]
    change = row["change"]

    def difference(before, now, targets, axis):
        return np.sqrt(np.mean((now - targets) ** 2, axis)) - np.sqrt(
            np.mean((before - targets) ** 2, axis)
        )

    wanted = stats.bootstrap(
        (*members, targets), difference, paired=True, vectorized=True, method="percentile", rng=1
    ).confidence_interval
    assert (change["low"], change["high"]) == pytest.approx(tuple(wanted), abs=0.4)
    assert change["high"] < 0
    assert change["p"] == pytest.approx(2 / 2001)
    assert regression.improved(members[1], members[0], targets)
    assert not regression.improved(members[0], members[1], targets)
    assert regression.rows(members, [[0], [1]], targets)[1] == row


def test_equal_predictions_do_not_differ():
    members, targets = numbers()
    change = regression.rows([members[0], members[0]], [[0], [1]], targets)[1]["change"]
    assert change == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_an_interval_covers_the_truth_as_often_as_it_says():
    # RMSE of normal errors of deviation one, on 80 examples, 200 times.
    covered = 0
    for seed in range(200):
        errors = np.random.default_rng(seed).normal(size=80)
        low, high = bootstrap.interval(np.sqrt(bootstrap.means(errors[:, None] ** 2, 0, 400)[:, 0]))
        covered += low <= 1.0 <= high
    assert 0.86 <= covered / 200 <= 0.98


def test_many_examples_are_resampled_in_parts(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 2))
    whole = bootstrap.means(values, 3, 30)
    monkeypatch.setattr(bootstrap, "_AT_A_TIME", 200)
    assert np.array_equal(bootstrap.means(values, 3, 30), whole)


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [([1.0], [1.0, 2.0]), ([], []), ([np.nan], [1.0]), ([[1.0]], [[1.0]])],
)
def test_what_is_no_list_of_numbers_is_refused(predictions, targets):
    with pytest.raises(InputError, match="`predictions` and `targets` must be"):
        regression.evaluate(predictions, targets)
    with pytest.raises(InputError, match="`values` must be"):
        bootstrap.means(np.empty((0, 1)))
