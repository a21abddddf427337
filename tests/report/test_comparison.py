"""Several runs: means, deviations and paired gains over seeds, one group for each setting."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import finished_run
import numpy as np
import pytest
from scipy import stats

from ban_tf.cli import report as report_command
from ban_tf.cli import seed_sweep
from ban_tf.config import options
from ban_tf.errors import RunDirectoryError
from ban_tf.report import comparison, comparison_page


def _runs(*paths):
    runs, left_out = comparison.read(paths)
    assert not left_out
    return runs


def _row(group, name):
    return next(row for row in group["rows"] if row["name"] == name)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Three seeds of kd, two of dkpp; dkpp changes nothing."""
    folder = tmp_path_factory.mktemp("seeds")
    kd = [finished_run.make(folder / f"kd-{seed}", 2, seed, gain=2.0) for seed in (0, 1, 2)]
    dkpp = [finished_run.make(folder / f"dkpp-{seed}", 2, seed, "dkpp", 0.0) for seed in (0, 1)]
    return [*kd, *dkpp]


@pytest.mark.parametrize("metric", ["error", "negative_log_likelihood", "brier_score"])
def test_gains_are_paired_by_seed_with_students_interval(paths, metric):
    runs = _runs(*paths)
    kd, dkpp = comparison.compare(runs)["groups"]
    assert (kd["name"], kd["seeds"]) == ("kd", [0, 1, 2])
    values = np.array([[row[metric] for row in run.summary["generations"]] for run in runs[:3]])
    found = _row(kd, "generation 1")["metrics"][metric]
    assert found["values"] == values[:, 1].tolist()
    assert found["mean"] == pytest.approx(values[:, 1].mean())
    assert found["standard_deviation"] == pytest.approx(values[:, 1].std(ddof=1))
    expected = stats.ttest_rel(values[:, 1], values[:, 0]).confidence_interval(0.95)
    change = found["change"]
    assert (change["low"], change["high"]) == pytest.approx(tuple(expected))
    assert change["significant"] and change["mean"] < 0
    unchanged = [row["metrics"][metric]["change"] for row in dkpp["rows"]]
    assert not any(entry["significant"] for entry in unchanged if entry)


def test_the_sentence_agrees_with_the_intervals(paths):
    text = comparison_page.write_markdown(comparison.compare(_runs(*paths)))
    lines = [line for line in text.split("## ")[1].splitlines() if "| generation 1 |" in line]
    assert [line.split(" | ")[0] for line in lines] == ["| kd", "| dkpp"]
    assert lines[0].endswith("| better |") and "no significant difference" in lines[1]
    page = comparison_page.write_page(comparison.compare(_runs(*paths)))
    assert "no significant difference" in page and page.count("<caption>") == 5


def test_groups_are_named_by_what_differs(tmp_path):
    slow = finished_run.make(tmp_path / "slow", learning_rate=0.1)
    fast = finished_run.make(tmp_path / "fast", learning_rate=0.2)
    groups = comparison.compare(_runs(slow, fast))["groups"]
    assert [group["name"] for group in groups] == ["kd, learning_rate=0.1", "kd, learning_rate=0.2"]
    for row in (row for group in groups for row in group["rows"]):
        assert all(value["change"] is None for value in row["metrics"].values())


def test_a_group_names_only_what_is_unusual(tmp_path):
    runs = {"a": ("kd", {}), "b": ("labels", {}), "c": ("labels", {"label_smoothing": 0.1})}
    made = [
        finished_run.make(tmp_path / name, 2, 0, objective, **{"label_smoothing": 0.0} | settings)
        for name, (objective, settings) in runs.items()
    ]
    result = comparison.compare(_runs(*made))
    assert [group["name"] for group in result["groups"]] == [
        *("kd", "labels", "labels, label_smoothing=0.1")
    ]
    assert result["unless_named"] == {"label_smoothing": "0.0"}


def test_runs_of_other_lengths_are_no_repetitions_of_each_other(tmp_path):
    paths = [finished_run.make(tmp_path / str(seed), seed=seed, epochs=9 + seed) for seed in (0, 1)]
    groups = comparison.compare(_runs(*paths))["groups"]
    assert [group["name"] for group in groups] == ["kd, epochs=9", "kd, epochs=10"]


def test_the_same_change_in_every_seed_is_not_called_significant(tmp_path):
    path = finished_run.make(tmp_path / "run", 2, gain=2.0)
    (run,) = _runs(path)
    other = run.summary | {"run": run.summary["run"] | {"seed": 1}}
    (group,) = comparison.compare([run, run._replace(summary=other)])["groups"]
    change = _row(group, "generation 1")["metrics"]["error"]["change"]
    assert change["mean"] < 0 and not change["significant"]


def test_verdicts_follow_p_values_adjusted_for_all_rows_of_a_column(tmp_path):
    """Checked against Benjamini and Hochberg's formula in plain NumPy."""
    paths = [
        finished_run.make(tmp_path / f"{gain}-{seed}", 4, seed, name, gain)
        for name, gain in (("kd", 0.25), ("dkpp", 0.1), ("cwtm", 0.0))
        for seed in (0, 1, 2)
    ]
    result = comparison.compare(_runs(*paths))
    changes = [
        row["metrics"]["error"]["change"] for group in result["groups"] for row in group["rows"]
    ]
    changes = [change for change in changes if change]
    assert len(changes) == 3 * (3 + 5)
    own = [stats.ttest_1samp(change["values"], 0).pvalue for change in changes]
    np.testing.assert_allclose([change["p_value"] for change in changes], own)
    order = np.argsort(own)
    scaled = np.sort(own) * len(own) / np.arange(1, len(own) + 1)
    adjusted = np.empty(len(own))
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    np.testing.assert_allclose([change["adjusted_p"] for change in changes], adjusted)
    verdicts = [row[5] for row in comparison_page.rows(result, "error") if row[5]]
    expected = [
        "no significant difference" if p >= 0.05 else "better" if change["mean"] < 0 else "worse"
        for p, change in zip(adjusted, changes, strict=True)
    ]
    assert verdicts == expected
    alone = sum(p < 0.05 for p in own)
    assert 0 < sum(p < 0.05 for p in adjusted) < alone


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study over three seeds; what differs with the seed is the teacher's file, too."""
    folder = tmp_path_factory.mktemp("study")
    for seed in (0, 1, 2):
        for name, settings in {
            "kd": {"gain": 2.0},
            "labels": {"objective": "labels"},
            "label-smoothing": {"objective": "labels", "label_smoothing": 0.1},
        }.items():
            finished_run.make(
                folder / f"seed-{seed}" / "row" / name,
                seed=seed,
                **{"label_smoothing": 0.0, "teacher_from": f"seed-{seed}/model.keras"} | settings,
            )
    (folder / "seed-2" / "row" / "labels" / "summary.json").unlink()
    return sorted(folder.glob("seed-*/row/*"))


def test_a_study_is_grouped_by_the_names_of_its_runs(study):
    runs, left_out = comparison.read(study)
    assert [pathlib.Path(name).name for name in left_out] == ["labels"]
    result = comparison.compare(runs)
    assert {group["name"]: group["seeds"] for group in result["groups"]} == {
        "kd": [0, 1, 2],
        "labels": [0, 1],
        "label-smoothing": [0, 1, 2],
    }


def test_each_row_is_compared_with_the_same_row_of_the_control(study):
    runs, _ = comparison.read(study)
    result = comparison.compare(runs)
    assert result["control"] == "labels"
    values = {
        (run.directory.name, run.directory.parents[1].name): run.summary["ensembles"][0]["error"]
        for run in runs
    }
    pairs = [[values[name, seed] for seed in ("seed-0", "seed-1")] for name in ("kd", "labels")]
    expected = stats.ttest_rel(*pairs).confidence_interval(0.95)
    for group in result["groups"]:
        change = _row(group, "ensemble of generations 1-2")["metrics"]["error"][
            "change_from_control"
        ]
        assert (change is None) == (group["name"] == "labels")
        if group["name"] == "kd":
            assert change["seeds"] == 2
            assert (change["low"], change["high"]) == pytest.approx(tuple(expected))
    with pytest.raises(ValueError, match="control=none is not one of the groups: kd; label"):
        comparison.compare(runs, "none")


def test_a_control_of_one_generation_is_what_single_networks_are_held_against(tmp_path):
    paths = [
        finished_run.make(tmp_path / str(seed) / name, count, seed + 5 * (name == "kd"), arch=name)
        for seed in (0, 1)
        for name, count in (("kd", 3), ("baseline", 1))
    ]
    runs, _ = comparison.read(paths)
    for run in runs:
        run.summary["run"]["seed"] = int(run.directory.parent.name)
    kd, baseline = comparison.compare(runs)["groups"]
    first = baseline["rows"][0]["metrics"]["error"]["values"]
    found = _row(kd, "generation 2")["metrics"]["error"]
    assert found["change_from_control"]["values"] == pytest.approx(
        np.subtract(found["values"], first)
    )
    assert (
        _row(kd, "ensemble of generations 1-2")["metrics"]["error"]["change_from_control"] is None
    )


def test_a_run_that_was_analysed_is_of_the_same_group(tmp_path):
    plain = finished_run.make(tmp_path / "plain", seed=0, mixup=None)
    analysed = finished_run.make(tmp_path / "analysed", seed=1, mixup=None, analyse=True)
    result = comparison.compare(_runs(plain, analysed))
    assert [group["seeds"] for group in result["groups"]] == [[0, 1]]
    assert ">mixup<" not in comparison_page.write_page(result)  # a setting without a value


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path):
    old = finished_run.make(tmp_path / "old", seed=0)
    new = finished_run.make(tmp_path / "new", seed=1, teacher_precision="same")
    other = finished_run.make(tmp_path / "other", seed=0, teacher_precision="mixed_bfloat16")
    groups = comparison.compare(_runs(old, new, other))["groups"]
    assert [group["seeds"] for group in groups] == [[0, 1], [0]]


def test_a_seed_given_twice_is_refused(paths):
    with pytest.raises(ValueError, match="seed 0 of kd is given twice"):
        comparison.compare(_runs(paths[0], paths[0]))


@pytest.mark.slow
def test_the_report_command_compares_several_runs(paths, tmp_path, capsys):
    output, some = tmp_path / "study", [*paths[:2], paths[3]]  # two seeds of kd, one of dkpp
    assert report_command.main([*map(str, some), f"--output={output}", "--figures"]) == 0
    assert str(output / "report.html") in capsys.readouterr().out
    written = json.loads((output / "summary.json").read_text())
    assert written == comparison.compare(_runs(*some)) | {"left_out": []}
    assert all((path / "report.html").is_file() for path in some)
    for name in ("error_over_seeds", "change"):
        assert (output / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_does_not_replace_the_report_of_a_run(paths, capsys):
    before = [(path / "summary.json").read_bytes() for path in paths]
    assert report_command.main([*map(str, paths), f"--output={paths[0]}"]) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert [(path / "summary.json").read_bytes() for path in paths] == before


@pytest.mark.nightly
def test_a_study_under_way_is_compared_as_far_as_it_is(study, tmp_path, capsys):
    output = tmp_path / "study"
    assert report_command.main([*map(str, study), f"--output={output}"]) == 0
    left_out = "seed-2/row/labels"
    assert f"{left_out} has no results yet and is left out" in capsys.readouterr().out
    text = (output / "summary.md").read_text()
    assert f"{left_out}." in text and "The control is labels" in text
    page = (output / "report.html").read_text()
    assert "Change from labels" in page
    linked = re.findall('href="([^#"]+)"', page)
    assert linked and all((output / link).is_file() for link in linked)
    unfinished = [str(path) for path in study if str(path).endswith(left_out)]
    assert report_command.main([*unfinished, *unfinished]) == 2
    assert "none of these runs has results yet" in capsys.readouterr().err


@pytest.mark.nightly
def test_seeds_are_run_one_after_the_other_and_compared(tmp_path, capsys):
    trained = []

    def run_one(one):
        trained.append((one.seed, one.seeds))
        finished_run.make(one.directory, generations=2, seed=one.seed)

    wanted = options.Options(seeds=3, seed=4, workdir=str(tmp_path / "study"))
    result = seed_sweep.run(wanted, run_one)
    assert trained == [(4, 1), (5, 1), (6, 1)]
    assert result["groups"][0]["seeds"] == [4, 5, 6]
    assert (tmp_path / "study" / "report.html").is_file()
    assert (tmp_path / "study" / "seed-5" / "manifest.json").is_file()
    assert "Seed 6 (3 of 3)" in capsys.readouterr().out
    # And again, with what a kill left, and recordings beside the seeds.
    (tmp_path / "study" / ".ban_tf-report.html.partial").write_text("")
    (tmp_path / "study" / "teachers").mkdir()
    (tmp_path / "study" / "teachers" / "view-0.npy").write_text("")
    again = dataclasses.replace(wanted, recordings=str(tmp_path / "study" / "teachers"))
    assert seed_sweep.run(again, lambda one: None) == result
    page = tmp_path / "study" / "report.html"
    assert 'href="seed-5/report.html"' in page.read_text()
    # Without reports of their own, their tables are linked.
    seed_sweep.run(dataclasses.replace(again, report=False), lambda one: None)
    assert 'href="seed-5/summary.md"' in page.read_text()
    with pytest.raises(RunDirectoryError, match=r"such as teachers/view-0\.npy"):
        seed_sweep.run(wanted, run_one)


def test_seeds_are_not_run_in_the_directory_of_a_run(paths):
    before = sorted(paths[0].rglob("*"))
    wanted = options.Options(seeds=2, workdir=str(paths[0]))
    with pytest.raises(RunDirectoryError, match="is a run of one seed"):
        seed_sweep.run(wanted, lambda one: pytest.fail("something was trained"))
    assert sorted(paths[0].rglob("*")) == before
