"""Several runs: means, deviations and paired gains over seeds, one group for each setting."""

from __future__ import annotations

import json

import finished_run
import numpy as np
import pytest
from scipy import stats

from ban_tf import options, repetitions
from ban_tf.report import __main__ as report_command
from ban_tf.report import comparison, reading


def _runs(*paths):
    found = [reading.RunReader(path) for path in paths]
    return [(reading.settings(each), reading.read_summary(each)) for each in found]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Three seeds of kd, two of dkpp; dkpp changes nothing."""
    folder = tmp_path_factory.mktemp("seeds")
    kd = [finished_run.make(folder / f"kd-{seed}", 2, seed, gain=2.0) for seed in (0, 1, 2)]
    dkpp = [finished_run.make(folder / f"dkpp-{seed}", 2, seed, "dkpp", 0.0) for seed in (0, 1)]
    return [*kd, *dkpp]


def test_gains_are_paired_by_seed_with_students_interval(paths):
    runs = _runs(*paths)
    kd, dkpp = comparison.compare(runs)["groups"]
    assert (kd["name"], kd["seeds"]) == ("kd", [0, 1, 2])
    errors = np.array([[row["error"] for row in each["generations"]] for _, each in runs[:3]])
    row = next(row for row in kd["rows"] if row["members"] == [1])
    assert row["errors"] == errors[:, 1].tolist()
    assert row["mean"] == pytest.approx(errors[:, 1].mean())
    assert row["standard_deviation"] == pytest.approx(errors[:, 1].std(ddof=1))
    expected = stats.ttest_rel(errors[:, 1], errors[:, 0]).confidence_interval(0.95)
    assert (row["change"]["low"], row["change"]["high"]) == pytest.approx(tuple(expected))
    assert row["change"]["significant"] and row["change"]["mean"] < 0
    assert not any(row["change"]["significant"] for row in dkpp["rows"] if row["change"])


def test_words_say_what_the_intervals_say(paths):
    text = comparison.write_markdown(comparison.compare(_runs(*paths)))
    kd, dkpp = text.split("## ")[1:]
    assert "better" in kd
    assert "no significant difference" in dkpp.partition("Errors are on")[0]
    page = comparison.write_page(comparison.compare(_runs(*paths)))
    assert "no significant difference" in page and page.count("<caption>") == 2


def test_groups_are_named_by_what_differs(tmp_path):
    slow = finished_run.make(tmp_path / "slow", learning_rate=0.1)
    fast = finished_run.make(tmp_path / "fast", learning_rate=0.2)
    groups = comparison.compare(_runs(slow, fast))["groups"]
    assert [group["name"] for group in groups] == ["kd, learning_rate=0.1", "kd, learning_rate=0.2"]
    assert all(row["change"] is None for group in groups for row in group["rows"])


def test_a_seed_given_twice_is_refused(paths):
    with pytest.raises(ValueError, match="seed 0 of kd is given twice"):
        comparison.compare(_runs(paths[0], paths[0]))


def test_the_report_command_compares_several_runs(paths, tmp_path, capsys):
    output = tmp_path / "study"
    assert report_command.main([*map(str, paths), f"--output={output}"]) == 0
    assert str(output / "report.html") in capsys.readouterr().out
    written = json.loads((output / "summary.json").read_text())
    assert written == comparison.compare(_runs(*paths))
    assert all((path / "report.html").is_file() for path in paths)


def test_seeds_are_run_one_after_the_other_and_compared(tmp_path, capsys):
    asked = []

    def run_one(one):
        asked.append((one.seed, one.seeds))
        finished_run.make(one.directory, generations=2, seed=one.seed)

    wanted = options.Options(seeds=3, seed=4, workdir=str(tmp_path / "study"))
    result = repetitions.run(wanted, run_one)
    assert asked == [(4, 1), (5, 1), (6, 1)]
    assert result["groups"][0]["seeds"] == [4, 5, 6]
    assert (tmp_path / "study" / "report.html").is_file()
    assert (tmp_path / "study" / "seed-5" / "manifest.json").is_file()
    assert "Seed 6 (3 of 3)" in capsys.readouterr().out
