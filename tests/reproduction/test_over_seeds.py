"""A row over seeds: each seed a study of its own, and what is there of them compared."""

import json
import pathlib
import types

import one_convolution
import pytest
import warm

from ban_tf.cli import reproduce as command
from ban_tf.reproduction import over_seeds, study
from ban_tf.reproduction.experiment import Column, Experiment
from ban_tf.reproduction.tables import EXPERIMENTS
from tests.report import finished_run

ROW = Experiment(
    "quick/pair",
    "quick/wrn",
    {"kd": ("--gens=1",), "labels": ("--gens=1", "--objective=labels")},
    (Column("BAN", None, "kd", "generation 1"),),
    teacher="quick/wrn",
)


def test_each_seed_is_a_study_of_its_own(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(study, "run", lambda row, place, further: calls.append((place, further)))
    over_seeds.run(ROW, tmp_path, range(2), ["--epochs=1"])
    assert calls == [
        (tmp_path / "seed-0", ["--epochs=1", "--seed=0"]),
        (tmp_path / "seed-1", ["--epochs=1", "--seed=1"]),
    ]


def test_what_is_there_of_the_seeds_is_compared_with_the_control(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "quick/pair", ROW)
    for seed, run in ((0, "kd"), (1, "kd"), (0, "labels")):
        place = tmp_path / f"seed-{seed}" / "quick/pair" / run
        finished_run.make(place, seed=seed, objective=run, generations=2)
    assert command.main(["--show=quick/pair", "--seeds=3", f"--workdir={tmp_path}"]) == 0
    assert "hange from" in capsys.readouterr().out
    result = json.loads((tmp_path / "quick/pair/summary.json").read_text())
    assert result["control"] == "labels"
    assert {group["name"]: group["seeds"] for group in result["groups"]} == {
        "kd": [0, 1],
        "labels": [0],
    }
    assert not (tmp_path / "seed-2").exists()


@pytest.mark.nightly
def test_seeds_are_trained_and_compared_with_the_control(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "quick/pair", ROW)
    # Runs are forked from a process that has imported TensorFlow, instead of started.
    monkeypatch.setattr(study, "subprocess", types.SimpleNamespace(run=warm.run))
    monkeypatch.chdir(pathlib.Path(one_convolution.__file__).parent)
    further = [
        *("--epochs=1", "--train_examples=64", "--batch_size=32", "--progress=none"),
        *(f"--arch={one_convolution.ARCH}", "--noreport"),
    ]
    arguments = ["quick/pair", "--seeds=2", f"--workdir={tmp_path}", *further]
    assert command.main(arguments) == 0
    trained = capsys.readouterr().out
    assert "Change from" in trained or "change from" in trained
    result = json.loads((tmp_path / "quick/pair/summary.json").read_text())
    assert result["control"] == "labels"
    assert {group["name"]: group["seeds"] for group in result["groups"]} == {
        "kd": [0, 1],
        "labels": [0, 1],
    }
    # Only what is there is shown, and nothing is trained.
    (tmp_path / "seed-1/quick/pair/labels/summary.json").unlink()
    arguments = ["--show=quick/pair", "--seeds=3", f"--workdir={tmp_path}"]
    assert command.main(arguments) == 0
    result = json.loads((tmp_path / "quick/pair/summary.json").read_text())
    assert [group["seeds"] for group in result["groups"]] == [[0, 1], [0]]
    assert not (tmp_path / "seed-2").exists()


@pytest.mark.parametrize("seeds", ["0", "-1"])
def test_no_seeds_are_refused(seeds, tmp_path, capsys):
    assert command.main(["quick/wrn", f"--seeds={seeds}", f"--workdir={tmp_path}"]) == 2
    assert f"--seeds must be at least 1; it is {seeds}." in capsys.readouterr().err
