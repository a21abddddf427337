"""Validation data choose the model that `predict` and `export` use."""

import json
import re

import pytest

from ban_tf.errors import InputError
from ban_tf.report import content, page
from ban_tf.runs import preferred, reading
from ban_tf.runs.rundir import RunDirectory
from tests.report import finished_run


@pytest.fixture
def run(tmp_path):
    return finished_run.make(tmp_path / "run")


def _validated(run, models, metric="error"):
    summary = json.loads((run / "summary.json").read_text())
    summary["validation"] = {"metric": metric, "models": models}
    with RunDirectory(run) as directory:
        directory.commit({"summary.json": json.dumps(summary).encode()})
    return preferred.of(reading.RunReader(run))


@pytest.mark.parametrize(
    ("models", "metric", "best"),
    [
        ({"0": 0.2, "1": 0.1, "2": 0.15, "ensemble": 0.12}, "error", "1"),
        ({"0": 0.2, "1": 0.1, "2": 0.1, "ensemble": 0.1}, "error", "ensemble"),
        ({"0": 0.1, "1": 0.1, "2": 0.1, "ensemble": 0.2}, "error", "2"),
        ({"0": 90.0, "1": 80.5, "2": 81.0, "ensemble": 80.4}, "perplexity", "ensemble"),
        ({"0": 0.9, "1": 0.8, "ensemble": 0.7}, "accuracy", "0"),
    ],
)
def test_the_best_validation_result_is_preferred_and_the_ensemble_to_an_equal_one(
    run, models, metric, best
):
    found = _validated(run, models, metric)
    assert found.model == best
    named = "The ensemble" if best == "ensemble" else f"Generation {best}"
    equal = list(models.values()).count(models[best]) > 1
    why = r"no .+ is better than its: " if equal else r"its .+ is the best: "
    assert re.match(f"{named} is used, as {why}", found.reason) and "test" not in found.reason


def test_without_validation_results_it_is_the_ensemble(run):
    found = preferred.of(reading.RunReader(run))
    assert found.model == "ensemble" and "no validation results" in found.reason
    assert preferred.resolve(reading.RunReader(run), "1") == ("1", "")


def test_the_report_names_the_file_to_use_on_top(run):
    (run / "generation-1").mkdir(exist_ok=True)
    (run / "generation-1" / "model.keras").write_bytes(b"")
    found = _validated(run, {"0": 0.2, "1": 0.1})
    assert found.file == "generation-1/model.keras"
    text = page.write(content.read(run))
    link = f'<a href="{found.file}">Use this file: {found.file}</a>'
    assert link in text and text.index(link) < text.index("<section")
    assert (
        f"<p>{found.reason} Against generation 0, generation 1 changes the test error (%) by"
        in text
    )
    (run / found.file).unlink()
    assert "Use this file" not in page.write(content.read(run))


def test_the_report_names_the_gain_of_the_ensemble_on_top(run):
    (run / "ensemble.keras").write_bytes(b"")
    _validated(run, {"0": 0.2, "ensemble": 0.1})
    text = page.write(content.read(run))
    assert re.search(
        r"the ensemble of generations 1-2 changes the test error \(%\) by -\S+ \[.*\] \(95 % "
        r"interval\), which is significant",
        text,
    )
    _validated(run, {"0": 0.1, "ensemble": 0.2})
    assert "Against generation 0," not in page.write(content.read(run))


@pytest.mark.parametrize("models", [{}, {"last": 0.1}, {"0": "low"}])
def test_damaged_validation_results_are_refused(run, models):
    with pytest.raises(InputError, match="validation"):
        _validated(run, models)
