"""The overview tells running, finished, interrupted and broken runs apart."""

from __future__ import annotations

import json

import pytest

from ban_tf.cli import runs
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory


def _make(path, generations, gens, errors=()):
    with RunDirectory(path) as directory:
        row = {
            "negative_log_likelihood": 1.0,
            "expected_calibration_error": 0.1,
            "brier_score": 0.1,
            "confidence": 0.9,
            "accuracy": 0.5,
            "examples": 10,
            "taught_by": "labels",
            "error_interval": [0, 1],
            "change_in_error": None,
            "seconds": None,
            "extra": {},
        }
        summary = {
            "format": 1,
            "run": {"dataset": "d", "architecture": "a", "objective": "kd", "seed": 0},
            "average": "probabilities",
            "generations": [{**row, "generation": k, "error": e} for k, e in enumerate(errors)],
            "ensembles": [],
        }
        files = {"run.cfg": f"--gens={gens}\n--epochs=2\n".encode()}
        if errors:
            files["summary.json"] = json.dumps(summary).encode()
        finished = {
            str(number): {"epochs": 2, "finished": True, "teachers": {}}
            for number in range(generations)
        }
        directory.commit(files, metadata={"settings": {}, "generations": finished})


def test_states_are_distinguished(tmp_path):
    _make(tmp_path / "done", 2, gens=1, errors=[0.3, 0.2])
    _make(tmp_path / "nested" / "cut", 1, gens=3)
    _make(tmp_path / "extended", 2, gens=2, errors=[0.3, 0.2])
    _make(tmp_path / "under-way", 1, gens=1)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    with RunDirectory(tmp_path / "under-way"):
        found = {entry.path.name: entry for entry in runs.find(tmp_path)}
    assert {name: value.state for name, value in found.items()} == {
        "done": "finished",
        "cut": "interrupted",
        "extended": "interrupted",
        "under-way": "running",
        "broken": "unreadable",
    }
    assert (found["done"].best, found["done"].metric) == (0.2, "error")
    assert (found["cut"].finished, found["cut"].wanted) == (1, 4)


def test_the_table_shows_how_to_resume(tmp_path, capsys):
    _make(tmp_path / "cut", 1, gens=3)
    assert runs.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "interrupted" in out and "1 of 4" in out
    assert reading.resume(reading.RunReader(tmp_path / "cut")) in out.replace("\n", "")


def test_a_run_without_the_final_student_that_it_is_to_have_is_interrupted(tmp_path):
    _make(tmp_path / "run", 2, gens=1, errors=[0.3, 0.2])
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit({"run.cfg": b"--gens=1\n--final_student=true\n"})
    assert runs.find(tmp_path)[0].state == "interrupted"
    with RunDirectory(tmp_path / "run") as directory:
        summary = json.loads(directory.read("summary.json"))
        summary["final_student"] = summary["generations"][0]
        directory.commit({"summary.json": json.dumps(summary).encode()})
    assert runs.find(tmp_path)[0].state == "finished"


def test_an_unfinished_generation_is_shown_by_its_epochs(tmp_path, capsys):
    _make(tmp_path / "cut", 1, gens=3)
    (tmp_path / "cut" / "generation-1").mkdir()
    (tmp_path / "cut" / "generation-1" / "history.csv").write_text("epoch,loss\n1,2.0\n2,1.0\n")
    (found,) = runs.find(tmp_path)
    assert (found.finished, found.epoch) == (1, 2)
    assert runs.main([str(tmp_path)]) == 0
    assert "1 of 4, 2 epochs" in capsys.readouterr().out


def test_the_fault_of_an_unreadable_run_is_shown(tmp_path, capsys):
    _make(tmp_path / "broken", 1, gens=3)
    (tmp_path / "broken" / "manifest.json").write_text('{"settings": ')
    assert runs.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'broken' / 'manifest.json'} is not a JSON file" in out
    assert "0 of" not in out and "Go on" not in out


def test_a_damaged_manifest_is_reported_and_the_one_before_it_listed(tmp_path, capsys, caplog):
    _make(tmp_path / "run", 1, gens=3)
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit(metadata={"more": 1})
    (tmp_path / "run" / "manifest.json").write_text("{")
    assert runs.main([str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["finished"]) == ("interrupted", 1)
    assert "manifest.previous.json, is used" in row["trouble"] and row["trouble"] in caplog.text
    assert (tmp_path / "run" / "manifest.json").read_text() == "{"


def test_looking_leaves_no_trace(tmp_path):
    _make(tmp_path / "done", 1, gens=0, errors=[0.5])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    runs.find(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_json_is_for_scripts(tmp_path, capsys):
    _make(tmp_path / "done", 1, gens=0, errors=[0.5])
    assert runs.main([str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["best"], row["metric"]) == ("finished", 0.5, "error")


@pytest.mark.parametrize("make", [False, True])
def test_no_runs_and_no_folder_are_reported(make, tmp_path, capsys):
    folder = tmp_path / "runs"
    if make:
        folder.mkdir()
    assert runs.main([str(folder)]) == (0 if make else 2)
    said = capsys.readouterr()
    assert ("No runs" in said.out) if make else ("no folder" in said.err)


def test_a_run_that_decided_by_itself_when_to_stop_is_finished(tmp_path):
    _make(tmp_path / "auto", 2, gens="auto", errors=[0.3, 0.2])
    _make(tmp_path / "auto-cut", 1, gens="auto")
    found = {entry.path.name: entry for entry in runs.find(tmp_path)}
    assert (found["auto"].state, found["auto"].wanted) == ("finished", 2)
    assert (found["auto-cut"].state, found["auto-cut"].wanted) == ("interrupted", None)


def test_a_run_whose_generation_0_was_given_is_finished(tmp_path):
    _make(tmp_path / "given", 1, gens=1, errors=[0.3, 0.2])
    (found,) = runs.find(tmp_path)
    assert (found.state, found.finished, found.wanted) == ("finished", 2, 2)


def test_what_is_for_images_says_so_of_a_run_on_text(tmp_path):
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit({}, metadata={"settings": {"dataset": "text:letters"}})
    for read in (reading.read_data_facts, lambda run: reading.read_predictions(run, 1)):
        with pytest.raises(ValueError, match="is not a run on images"):
            read(reading.RunReader(tmp_path / "run"))


def test_a_final_student_is_part_of_its_run(tmp_path):
    _make(tmp_path / "done", 1, gens=0, errors=[0.5])
    _make(tmp_path / "done" / "final_student-3", 1, gens=1)
    assert [entry.path.name for entry in runs.find(tmp_path)] == ["done"]
