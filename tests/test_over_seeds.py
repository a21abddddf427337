"""A row over seeds: means and paired gains, checked against SciPy, from whatever is there."""

import json

import numpy as np
import pytest
from scipy import stats

from ban_tf.experiments import over_seeds
from ban_tf.experiments.experiment import Column, Experiment

ROW = Experiment(
    "some/row",
    "some/row",
    {"kd": (), "labels": ()},
    (
        Column("teacher", None, "teacher", "generation 0"),
        Column("kd 1", None, "kd", "generation 1", control="labels 1"),
        Column("kd 0-1", None, "kd", "ensemble 0-1"),
        Column("labels 1", None, "labels", "generation 1"),
    ),
    teacher="some/teacher",
)


def _write_summary(folder, errors, ensembles):
    """A summary with what is looked at here; likelihood and calibration are told by the error."""

    def row(error, **name):
        return {
            **{"error": error, "accuracy": 1 - error, "error_interval": [0.0, 1.0]},
            **{"negative_log_likelihood": 3 * error, "expected_calibration_error": error / 10},
            **{"examples": 10, "brier_score": 0.1, "confidence": 0.5, "change_in_error": None},
            **name,
        }

    summary = {
        "format": 1,
        "run": {
            **{"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0},
            **{"epochs": 1, "command": "", "finished": "", "environment": {}, "files": {}},
        },
        "average": "probabilities",
        "generations": [
            row(error, generation=number, taught_by="labels", seconds=1.0, extra={})
            for number, error in errors.items()
        ],
        "ensembles": [
            row(error, name=f"generations {which}", members=[0, 1])
            for which, error in ensembles.items()
        ],
    }
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def root(tmp_path):
    """Four seeds, of which the last has no control yet."""
    rng = np.random.default_rng(0)
    for seed in range(4):
        folder = over_seeds.directory(tmp_path, seed)
        teacher, kd, labels, both = rng.uniform(0.2, 0.3, size=4).round(4)
        _write_summary(folder / "teachers/some/teacher", {0: teacher}, {})
        _write_summary(folder / "some/row/kd", {0: teacher, 1: kd}, {"0-1": both})
        if seed < 3:
            _write_summary(folder / "some/row/labels", {0: teacher, 1: labels}, {})
    return tmp_path


def _column(gathered, name, metric):
    (found,) = (
        each for each in gathered["columns"] if (each["name"], each["metric"]) == (name, metric)
    )
    return found


@pytest.mark.parametrize("metric", ["error", "negative_log_likelihood"])
def test_gains_are_paired_by_seed_with_students_interval(root, metric):
    gathered = over_seeds.gather(ROW, root, range(4))
    teacher, kd, labels = (
        _column(gathered, name, metric) for name in ("teacher", "kd 1", "labels 1")
    )
    values = np.array(kd["values"])
    assert kd["mean"] == pytest.approx(values.mean())
    assert kd["standard_deviation"] == pytest.approx(np.std(values, ddof=1))
    for gain, others in (("gain", teacher), ("gain_over_control", labels)):
        shared = len(others["values"])
        differences = values[:shared] - np.array(others["values"])
        low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
        assert kd[gain]["seeds"] == list(range(shared))
        assert [kd[gain][name] for name in ("mean", "low", "high")] == pytest.approx(
            [differences.mean(), low, high]
        )


def test_errors_are_in_per_cent_and_other_metrics_as_they_are(root):
    gathered = over_seeds.gather(ROW, root, range(4))
    error = np.array(_column(gathered, "kd 0-1", "error")["values"])
    likelihood = _column(gathered, "kd 0-1", "negative_log_likelihood")["values"]
    assert error.min() > 15
    assert likelihood == pytest.approx(3 * error / 100)


def test_a_single_seed_and_what_is_missing_are_shown_without_intervals(root):
    gathered = over_seeds.gather(ROW, root, [3, 4])
    assert {each["name"] for each in gathered["columns"]} == {"teacher", "kd 1", "kd 0-1"}
    kd = _column(gathered, "kd 1", "error")
    assert (kd["standard_deviation"], kd["gain"], kd["gain_over_control"]) == (None, None, None)
    table = over_seeds.write_markdown(gathered)
    assert f"| kd 1 | 1 | {kd['mean']:.2f} |  |  |  |" in table


def test_the_table_marks_what_leaves_out_zero(root):
    kd = {"mean": -1.0, "low": -1.5, "high": -0.5, "seeds": [0, 1]}
    row = {
        **{"name": "kd 1", "metric": "error", "seeds": [0, 1], "values": [20.0, 21.0]},
        **{"mean": 20.5, "standard_deviation": 0.707, "gain": kd},
        "gain_over_control": {**kd, "high": 0.5},
    }
    table = over_seeds.write_markdown({"experiment": "some/row", "columns": [row]})
    assert "| **-1.00 [-1.50, -0.50]** | -1.00 [-1.50, +0.50] |" in table


def test_each_seed_is_a_study_of_its_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        over_seeds.study, "run", lambda row, place, further: asked.append((place, further))
    )
    over_seeds.run(ROW, tmp_path, range(2), ["--epochs=1"])
    assert asked == [
        (tmp_path / "seed-0", ["--epochs=1", "--seed=0"]),
        (tmp_path / "seed-1", ["--epochs=1", "--seed=1"]),
    ]
