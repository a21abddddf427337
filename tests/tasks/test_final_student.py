"""The ensemble distilled into one student: trained once, from the ensemble, and reported."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil

import numpy as np
import one_convolution
import pytest

import ban_tf
from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.errors import RunDirectoryError
from ban_tf.runs import inference, reading
from ban_tf.tasks import runner
from tests import reports


@pytest.fixture(scope="module")
def run_options(tmp_path_factory):
    return options.check(
        options.Options(
            arch=one_convolution.ARCH,
            gens=2,
            epochs=1,
            batch_size=32,
            train_examples=200,
            final_student=True,
            progress="none",
            report=False,
            workdir=str(tmp_path_factory.mktemp("final") / "run"),
        )
    )


@pytest.fixture(scope="module")
def printed():
    return io.StringIO()


@pytest.fixture(scope="module")
def result(run_options, printed):
    with contextlib.redirect_stdout(printed):
        return runner.run(run_options)


def test_the_command_for_one_more_generation_is_that_of_the_run_itself(result, printed):
    found = [line for line in printed.getvalue().splitlines() if line.startswith("One more")]
    assert found == ["One more generation: the same command with --gens=3"]


def test_the_final_student_has_its_row_everywhere(run_options, result):
    row = result["final_student"]
    assert row["taught_by"] == "ensemble of generations 1-2"
    assert (
        "| final | ensemble of generations 1-2 |"
        in (run_options.directory / "summary.md").read_text()
    )
    assert reading.read_summary(reading.RunReader(run_options.directory)) == result


@pytest.mark.nightly
def test_the_report_shows_the_final_student(run_options, result):
    page = reports.written(run_options.directory)
    assert "ensemble of generations 1-2" in page and "final student" in page


def test_its_numbers_are_those_of_its_model(run_options, result):
    own = reading.RunReader(run_options.directory / result["final_student"]["directory"])
    test = digits.load().test
    predicted = inference.log_probabilities(
        inference.load(own, "1"), test.images, reading.read_data_facts(own)
    )
    wrong = np.mean(predicted.argmax(axis=-1) != test.labels)
    assert result["final_student"]["error"] == pytest.approx(wrong)


def test_its_teacher_is_the_ensemble_of_the_run(run_options, result):
    run = reading.RunReader(run_options.directory)
    own = reading.RunReader(run_options.directory / result["final_student"]["directory"])
    images, facts = digits.load().test.images[:20], reading.read_data_facts(run)
    np.testing.assert_allclose(
        reading.read_predictions(own, 1)[0][:20],
        inference.log_probabilities(inference.load(run), images, facts),
        atol=1e-4,
    )


def test_its_run_keeps_the_ensemble_and_prefers_what_it_trained(run_options, result):
    run = ban_tf.Run(run_options.directory / result["final_student"]["directory"])
    images = digits.load().test.images[:5]
    ensemble = ban_tf.Run(run_options.directory).predict(images)
    np.testing.assert_allclose(run.predict(images, 0), ensemble, atol=1e-5)
    assert "0" not in run.summary.get("validation", {}).get("models", {})
    assert run.preferred.model != "0"


@pytest.mark.nightly
def test_it_is_trained_once(run_options, result):
    again = runner.run(dataclasses.replace(run_options, report=False))
    assert again["final_student"] == result["final_student"]


def test_an_ensemble_needs_two_generations():
    with pytest.raises(options.OptionsError, match="--gens must be at least 2; it is 1"):
        options.check(options.Options(gens=1, final_student=True))


@pytest.mark.nightly
def test_a_run_that_was_moved_resumes_and_another_teacher_is_refused(run_options, result, tmp_path):
    moved = dataclasses.replace(run_options, report=False, workdir=str(tmp_path / "moved"))
    shutil.copytree(run_options.directory, moved.directory)
    assert runner.run(moved)["final_student"] == result["final_student"]

    name = result["final_student"]["directory"]
    own = dataclasses.replace(
        moved,
        gens=1,
        final_student=False,
        teacher_from=str(moved.directory / "generation-1" / "model.keras"),
        workdir=str(moved.directory / name),
    )
    with pytest.raises(RunDirectoryError, match="teacher_from was 'weights of hash"):
        runner.run(own)


@pytest.mark.nightly
def test_an_ensemble_no_better_than_chance_is_reported(tmp_path, caplog):
    run_options = options.Options(
        arch=one_convolution.ARCH,
        gens=2,
        epochs=1,
        learning_rate=1e-12,
        train_examples=100,
        final_student=True,
        progress="none",
        report=False,
        workdir=str(tmp_path / "run"),
    )
    runner.run(options.check(run_options))
    assert "The ensemble that teaches the final student contains generations" in caplog.text
    assert "than chance: 1, 2." in caplog.text
