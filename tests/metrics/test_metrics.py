from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from ban_tf.metrics import classification, ensembles, intervals, table, tokens


def predictions(examples=200, classes=5, seed=0, sharpness=2.0):
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(examples, classes))
    labels = rng.integers(classes, size=examples)
    logits[np.arange(examples), labels] += 1.0
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)), labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_evaluate_equals_a_plain_loop(dtype):
    log_probabilities, labels = predictions()
    wrong, surprise, brier = 0, 0.0, 0.0
    bins = [[] for _ in range(15)]
    for row, label in zip(np.exp(log_probabilities), labels, strict=True):
        guess = max(range(len(row)), key=lambda index: row[index])
        wrong += guess != label
        surprise -= np.log(row[label])
        brier += sum((value - (index == label)) ** 2 for index, value in enumerate(row))
        for place in range(15):
            if place / 15 < row[guess] <= (place + 1) / 15:
                bins[place].append((row[guess], guess == label))
    error = sum(
        len(members)
        / 200
        * abs(np.mean([m[0] for m in members]) - np.mean([m[1] for m in members]))
        for members in bins
        if members
    )
    confidence = np.exp(log_probabilities).max(axis=-1).mean()

    measured = classification.evaluate(log_probabilities.astype(dtype), labels.astype(np.int32))

    assert measured["examples"] == 200
    assert measured["error"] == wrong / 200
    assert measured["accuracy"] == pytest.approx(1 - wrong / 200)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    expected = {
        "negative_log_likelihood": surprise / 200,
        "brier_score": brier / 200,
        "expected_calibration_error": error,
        "confidence": confidence,
    }
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=tolerance), name
    assert {type(value) for value in measured.values()} == {int, float}


def test_classes_are_measured_by_the_confusion_matrix():
    log_probabilities, labels = predictions(examples=300)
    labels[labels == 1] = 0  # no example of class 1
    counts = classification.confusion_matrix(log_probabilities, labels)
    found = classification.by_class(log_probabilities, labels)
    right, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    np.testing.assert_array_equal(found["support"], true)
    np.testing.assert_allclose(found["recall"], right / np.maximum(true, 1))
    np.testing.assert_allclose(found["precision"], right / np.maximum(predicted, 1))
    np.testing.assert_allclose(found["f1"], 2 * right / np.maximum(true + predicted, 1))
    balanced = classification.evaluate(log_probabilities, labels)["balanced_accuracy"]
    assert balanced == pytest.approx(np.mean((right / np.maximum(true, 1))[true > 0]))


def test_certain_and_right_is_perfect_and_certain_and_wrong_is_the_worst():
    certain = np.log(np.clip(np.eye(3), 1e-300, 1))
    best = classification.evaluate(certain, np.array([0, 1, 2]))
    worst = classification.evaluate(certain, np.array([1, 2, 0]))
    assert best["error"] == best["expected_calibration_error"] == best["brier_score"] == 0
    assert worst["error"] == worst["expected_calibration_error"] == 1
    assert worst["brier_score"] == 2
    assert worst["negative_log_likelihood"] == pytest.approx(300 * np.log(10))


def test_a_probability_of_zero_is_allowed():
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert classification.evaluate(log_probabilities, np.array([0, 1]))["error"] == 0.5


def test_bins_are_closed_on_the_right_and_empty_ones_are_not_a_number():
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [0.8, 0.2], [0.81, 0.19]])
    bins = classification.reliability(np.log(probabilities), np.array([0, 1, 0, 1]), bins=5)
    np.testing.assert_array_equal(bins["count"], [0, 0, 2, 1, 1])
    np.testing.assert_allclose(bins["confidence"], [np.nan, np.nan, 0.55, 0.8, 0.81])
    np.testing.assert_allclose(bins["accuracy"], [np.nan, np.nan, 0.5, 1.0, 0.0])


def test_confusion_has_true_classes_in_rows():
    log_probabilities = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]]))
    matrix = classification.confusion_matrix(log_probabilities, np.array([0, 2, 1]))
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [1, 0, 0], [0, 1, 0]])


def test_agreement_counts_equal_decisions():
    a, _ = predictions(seed=1)
    b, _ = predictions(seed=2)
    equal = sum(x.argmax() == y.argmax() for x, y in zip(a, b, strict=True))
    assert ensembles.agreement(a, b) == equal / 200
    assert ensembles.agreement(a, a) == 1.0


def test_the_ensemble_of_probabilities_is_their_mean():
    members = [predictions(seed=seed)[0] for seed in range(3)]
    mean = ensembles.mean_log_probabilities(members)
    np.testing.assert_allclose(np.exp(mean), np.mean(np.exp(members), axis=0), atol=1e-14)


def test_the_ensemble_of_logits_is_their_normalized_mean():
    members = [predictions(seed=seed)[0] for seed in range(3)]
    mean = ensembles.mean_log_probabilities(members, "logits")
    geometric = np.exp(np.mean(members, axis=0))
    expected = geometric / geometric.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(mean), expected, atol=1e-14)


def test_the_ensemble_keeps_probabilities_too_small_for_a_float():
    tiny = np.array([[-2000.0, 0.0]])
    np.testing.assert_allclose(ensembles.mean_log_probabilities([tiny, tiny]), tiny)


@pytest.mark.parametrize("average", ensembles.AVERAGES)
def test_one_member_is_its_own_ensemble(average):
    member, _ = predictions()
    ensemble = ensembles.mean_log_probabilities([member], average)
    np.testing.assert_allclose(ensemble, member, atol=1e-12)


def test_wilson_interval_equals_its_formula():
    z, successes, trials = 1.959963984540054, 8, 10
    p = successes / trials
    center = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    assert intervals.wilson_interval(8, 10) == pytest.approx((center - half, center + half))
    assert intervals.wilson_interval(0, 10)[0] == 0.0


def test_mcnemar_is_exact():
    # One discordant pair one way and nine the other: 2 (1 + 10) / 2**10.
    a = np.array([True] * 1 + [False] * 9 + [True] * 30)
    b = np.array([False] * 1 + [True] * 9 + [True] * 30)
    assert intervals.mcnemar(a, b) == pytest.approx(22 / 1024)
    assert intervals.mcnemar(b, a) == pytest.approx(22 / 1024)
    assert intervals.mcnemar(a, a) == 1.0


def test_paired_difference_is_antisymmetric_and_never_without_width():
    rng = np.random.default_rng(0)
    a, b = rng.random(100) < 0.1, rng.random(100) < 0.2
    difference, low, high = intervals.paired_difference(a, b)
    assert difference == pytest.approx(a.mean() - b.mean())
    assert low < difference < high
    assert intervals.paired_difference(b, a) == pytest.approx((-difference, -high, -low))
    same, low, high = intervals.paired_difference(a, a)
    assert same == 0 and low < 0 < high
    assert intervals.paired_difference([True], [False])[1:] >= (-1.0, -1.0)
    assert intervals.paired_difference([True], [False])[2] <= 1.0


@pytest.mark.parametrize(
    ("examples", "only_a", "only_b"),
    [(60, 0.03, 0.05), (180, 0.01, 0.02), (360, 0.02, 0.02), (360, 0.05, 0.08), (2000, 0.03, 0.05)],
)
def test_the_interval_of_a_paired_difference_covers_the_truth(examples, only_a, only_b):
    rng = np.random.default_rng(0)
    trials, covered = 3000, 0
    for _ in range(trials):
        draw = rng.random(examples)
        a = draw < only_a
        b = (draw >= only_a) & (draw < only_a + only_b)
        _, low, high = intervals.paired_difference(a, b)
        covered += low <= only_a - only_b <= high
    # Three standard errors of the simulation below 95 %; too wide only for tiny samples.
    assert covered / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
    assert examples < 180 or covered / trials < 0.985


def test_no_difference_is_found_significant_about_as_often_as_promised():
    rng = np.random.default_rng(1)
    false_alarms = 0
    for _ in range(2000):
        draw = rng.random(360)
        a, b = draw < 0.04, (draw >= 0.04) & (draw < 0.08)
        _, low, high = intervals.paired_difference(a, b)
        false_alarms += not low <= 0 <= high
    assert 0.03 < false_alarms / 2000 < 0.065


def test_mean_interval_is_students():
    mean, deviation, low, high = intervals.mean_interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / np.sqrt(3)
    assert (mean, deviation) == (2.0, 1.0)
    assert (low, high) == pytest.approx((2 - half, 2 + half))


def test_equal_values_have_an_interval_of_no_width():
    assert intervals.mean_interval([3.0, 3.0]) == (3.0, 0.0, 3.0, 3.0)


def test_paired_gain_does_not_see_what_seeds_have_in_common():
    baselines = np.array([10.0, 20.0, 30.0])
    gain = intervals.paired_gain(baselines - [1.0, 2.0, 3.0], baselines)
    assert gain.mean == -2.0
    assert gain.standard_deviation == pytest.approx(1.0)
    assert gain == pytest.approx(intervals.mean_interval([-1.0, -2.0, -3.0]))


def _adjusted(p_values):
    """Benjamini and Hochberg's p-values, by their definition: the least rate that rejects each."""
    rates = np.linspace(0, 1, 10_001)
    rejected = []
    for rate in rates:
        ranked = np.sort(p_values)
        passing = [p for k, p in enumerate(ranked, 1) if p <= k / len(ranked) * rate + 1e-12]
        rejected.append(np.asarray(p_values) <= max(passing, default=-1))
    return rates[np.argmax(rejected, axis=0)]


def test_p_values_are_adjusted_by_benjamini_and_hochbergs_procedure():
    p_values = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205]
    changes = [{"low": 0.1, "high": 0.2, "p_value": p} for p in p_values[::-1]]
    intervals.judge(changes)
    found = [change["adjusted_p"] for change in changes][::-1]
    np.testing.assert_allclose(found, _adjusted(p_values), atol=2e-4)
    # Five are below 0.05 by themselves.
    assert [change["significant"] for change in changes][::-1] == [True] * 2 + [False] * 6


def test_a_change_whose_interval_has_zero_in_it_is_not_significant():
    change = {"low": -0.1, "high": 0.2, "p_value": 0.001}
    intervals.judge([change])
    assert not change["significant"]
    intervals.judge([])


@pytest.mark.nightly
def test_false_discoveries_are_as_few_as_promised():
    """Half of 20 changes are none; of those called significant, at most 5 % are on average."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(150):
        values = rng.normal(size=(20, 5)) + np.repeat([0.0, 4.0], 10)[:, None]
        changes = [
            {
                **intervals.paired_gain(value, np.zeros(5))._asdict(),
                "p_value": intervals.paired_p_value(value, np.zeros(5)),
            }
            for value in values
        ]
        intervals.judge(changes)
        called = np.array([change["significant"] for change in changes])
        shares.append(called[:10].sum() / max(called.sum(), 1))
    assert np.mean(shares) < 0.05


def test_the_p_value_of_pairs_agrees_with_their_interval_and_is_1_without_a_spread():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, baselines = rng.normal(0.8, size=4), rng.normal(size=4)
        gain = intervals.paired_gain(values, baselines)
        p_value = intervals.paired_p_value(values, baselines)
        assert (p_value < 0.05) == (gain.low > 0 or gain.high < 0)
        assert p_value == pytest.approx(stats.ttest_rel(values, baselines).pvalue)
    assert intervals.paired_p_value([2.0, 3.0], [1.0, 2.0]) == 1.0


GOOD = np.log(np.full((2, 4), 0.25))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification.evaluate(GOOD[0], [0]), r"must be \[examples, classes\].*\(4,\)"),
        (lambda: classification.evaluate(GOOD[:0], []), "not empty"),
        (lambda: classification.evaluate(GOOD, [0]), "2 integers.*shape \\(1,\\)"),
        (lambda: classification.evaluate(GOOD, [0.0, 1.0]), "integers.*float64"),
        (lambda: classification.evaluate(GOOD, [0, 4]), r"in 0\.\.3.*from 0 to 4"),
        (lambda: classification.evaluate(GOOD, [-1, 0]), "from -1 to 0"),
        (lambda: classification.evaluate(np.exp(GOOD), [0, 1]), "sum to 1.*5.13"),
        (lambda: classification.evaluate(GOOD * np.nan, [0, 1]), "finite"),
        (lambda: ensembles.mean_log_probabilities([]), "0 members"),
        (lambda: ensembles.mean_log_probabilities([GOOD, GOOD[:1]]), "one shape"),
        (
            lambda: ensembles.mean_log_probabilities([GOOD], "votes"),
            "probabilities, logits.*votes",
        ),
        (lambda: ensembles.agreement(GOOD, GOOD[:1]), "one shape"),
        (lambda: intervals.mcnemar([True], [True, False]), "one shape"),
        (lambda: intervals.paired_difference([], []), "not empty"),
        (lambda: intervals.mean_interval([1.0]), "two values"),
        (lambda: intervals.paired_gain([1.0, 2.0], [1.0]), "its own seed"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_metrics_and_tables_need_no_tensorflow():
    code = (
        "import sys; from ban_tf.metrics import classification, tokens;"
        "from ban_tf.metrics import summary; from ban_tf.report import table;"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_members_disagree_where_their_classes_differ():
    a, b = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.7, 0.3]])
    matrix = ensembles.pairwise_disagreement(np.log([a, b, a]))
    np.testing.assert_array_equal(matrix, [[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]])


def test_scores_of_words_have_the_metrics_of_their_distributions():
    log_probabilities, labels = predictions(examples=500)
    before, _ = predictions(examples=500, seed=1)
    found, reference = (
        {
            "log_probability": array[np.arange(500), labels],
            "wrong": array.argmax(axis=-1) != labels,
            "confidence": np.exp(array).max(axis=-1),
            "sum_of_squares": np.square(np.exp(array)).sum(axis=-1),
        }
        for array in (log_probabilities, before)
    )
    measured = tokens.evaluate(found, reference)
    expected = classification.evaluate(log_probabilities, labels)
    del expected["balanced_accuracy"]  # words are no classes of equal importance
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    assert measured["perplexity"] == pytest.approx(np.exp(expected["negative_log_likelihood"]))
    assert measured["change_in_error"] == intervals.change_in_error(
        found["wrong"], reference["wrong"]
    )


def test_scikit_learns_log_loss_is_ours_where_no_probability_is_tiny():
    log_probabilities, labels = predictions()
    ours = classification.evaluate(log_probabilities, labels)["negative_log_likelihood"]
    assert ours == pytest.approx(log_loss(labels, np.exp(log_probabilities)), rel=1e-12)


def test_the_table_says_how_metrics_are_shown_and_which_way_is_better():
    error, accuracy, confidence = (
        table.METRICS[name] for name in ("error", "accuracy", "confidence")
    )
    assert error.shown(0.12345) == "12.35" and error.title == "Test error (%)"
    assert error.change(-0.01, -0.02, 0.001) == "-1.00 [-2.00, +0.10]"
    assert error.improved(-0.1) and not error.improved(0.1)
    assert accuracy.improved(0.1) and not accuracy.improved(-0.1)
    assert not confidence.improved(0.1) and not confidence.improved(-0.1)
    assert all(name == metric.name for name, metric in table.METRICS.items())
