"""Every command and every snippet of the README does what it says."""

import pathlib
import re
import shlex
import subprocess
import sys

import keras
import pytest
import warm

import ban_tf
from ban_tf.cli import report as report_command
from ban_tf.cli import runs
from ban_tf.metrics import summary

README = pathlib.Path(__file__).parents[1] / "README.md"


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The README's main command, with fewer epochs."""
    folder = tmp_path_factory.mktemp("readme")
    command = next(block for block in _blocks("bash") if "ban_tf.main" in block)
    arguments = shlex.split(command.partition("&&")[2])
    assert arguments[:3] == ["python", "-m", "ban_tf.main"]
    command = [sys.executable, *arguments[1:], "--epochs=2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "digits-wrn-16-1-kd+labels-0", done


def test_the_main_command_shows_the_table_and_nothing_else(finished_run):
    directory, done = finished_run
    assert done.stderr == ""
    for words in (
        "wrn-16-1 (175,706 parameters)",
        "taught by",
        "generations 1-3",
        str(directory.name),
    ):
        assert words in done.stdout


def test_the_main_command_leaves_what_the_readme_promises(finished_run):
    directory, _ = finished_run
    for number in range(4):
        for name in ("model.keras", "history.csv", "metrics.json", "predictions.npz"):
            assert (directory / f"generation-{number}" / name).is_file()
        assert list((directory / "tensorboard" / f"generation-{number}").iterdir())
    for name in ("config.json", "run.cfg", "ensemble.keras", "summary.json", "summary.md"):
        assert (directory / name).is_file()


def test_the_report_says_with_what_it_was_made_and_can_be_made_again(finished_run, monkeypatch):
    directory, _ = finished_run
    monkeypatch.chdir(directory.parents[1])
    page = (directory / "report.html").read_text()
    for words in ("python -m ban_tf.main --epochs=2", keras.__version__, "no significant differ"):
        assert words in page
    assert report_command.main([f"runs/{directory.name}"]) == 0
    assert (directory / "report.html").read_text() == page


def test_evaluation_on_the_same_data_gives_the_same_numbers(finished_run):
    directory, _ = finished_run
    result = ban_tf.Run(directory).evaluate("digits")
    for before, now in zip(
        summary.load(directory)["generations"], result["generations"], strict=True
    ):
        assert now["error"] == before["error"]
        assert now["brier_score"] == pytest.approx(before["brier_score"], abs=1e-6)


def test_the_overview_knows_the_run(finished_run):
    directory, _ = finished_run
    (status,) = runs.find(directory.parent)
    assert (status.state, status.finished, status.wanted) == ("finished", 4, 4)


def test_the_models_load_in_plain_keras_and_the_ensemble_is_their_mean(finished_run):
    directory, _ = finished_run
    script = """
import sys, keras, numpy as np
x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
members = [keras.models.load_model(f"generation-{k}/model.keras") for k in (1, 2, 3)]
probabilities = [keras.ops.softmax(member.predict(x, verbose=0)) for member in members]
mean = keras.models.load_model("ensemble.keras").predict(x, verbose=0)
np.testing.assert_allclose(mean, np.mean(probabilities, axis=0), atol=1e-6)
assert not any(name.startswith("ban_tf") for name in sys.modules)
"""
    done = warm.run([sys.executable, "-c", script], cwd=directory)
    assert done.returncode == 0, done.stderr


def test_a_finished_run_is_read_and_a_larger_one_goes_on(finished_run):
    directory, _ = finished_run
    before = (directory / "generation-3" / "model.keras").read_bytes()
    arguments = ["--gens=4", "--epochs=2", "--noreport", f"--workdir={directory}"]
    done = warm.run([sys.executable, "-m", "ban_tf.main", *arguments], cwd=directory.parent)
    assert done.returncode == 0, done.stderr
    assert "generation 4/4" in done.stdout
    assert "generation 3/4" not in done.stdout
    assert (directory / "generation-3" / "model.keras").read_bytes() == before


def test_a_run_with_other_settings_is_refused(finished_run):
    directory, _ = finished_run
    arguments = ["--epochs=2", "--learning_rate=0.2", f"--workdir={directory}"]
    done = warm.run([sys.executable, "-m", "ban_tf.main", *arguments], cwd=directory.parent)
    assert done.returncode == 2
    assert "learning_rate was 0.1 and is now 0.2" in done.stderr


def test_the_library_example_runs(tmp_path):
    (example,) = _blocks("python")
    done = warm.run([sys.executable, "-c", example], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "born_again.keras").is_file()
