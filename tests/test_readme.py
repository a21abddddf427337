"""Every command and every snippet of the README does what it says."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import keras
import one_convolution
import pytest
import warm

import ban_tf
from ban_tf.cli import report as report_command
from ban_tf.cli import runs
from ban_tf.config import options
from ban_tf.errors import RunDirectoryError
from ban_tf.metrics import summary
from ban_tf.tasks import runner

README = pathlib.Path(__file__).parents[1] / "README.md"
EPOCHS = 8  # enough for every generation to be better than chance


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def _main_command(folder, *quick):
    """Runs the README's main command, with what makes it quicker."""
    command = next(block for block in _blocks("bash") if "ban_tf.main" in block)
    arguments = shlex.split(command.partition("&&")[2])
    assert arguments[:3] == ["python", "-m", "ban_tf.main"]
    command = [sys.executable, *arguments[1:], *quick]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The README's main command, with fewer epochs and a network that is built in a moment."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(one_convolution.__file__, folder)
    done = _main_command(folder, f"--epochs={EPOCHS}", f"--arch={one_convolution.ARCH}")
    return folder / "runs" / "digits-one_convolution_network-kd+labels-0", done


def _check_shown(done, *words):
    assert done.stderr == ""
    for shown in ("taught by", "generations 1-3", *words):
        assert shown in done.stdout


def test_the_main_command_shows_the_table_and_nothing_else(finished_run):
    directory, done = finished_run
    _check_shown(done, f"{one_convolution.ARCH} (202 parameters)", directory.name)


@pytest.mark.nightly
def test_the_main_command_trains_the_network_that_it_names(tmp_path):
    done, name = _main_command(tmp_path, "--epochs=2"), "digits-wrn-16-1-kd+labels-0"
    _check_shown(done, "wrn-16-1 (175,706 parameters)", name)
    assert "no significant differ" in (tmp_path / "runs" / name / "report.html").read_text()


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
    command = f"python -m ban_tf.main --arch={one_convolution.ARCH} --epochs={EPOCHS}"
    for words in (command, keras.__version__):
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


@pytest.mark.nightly
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


@pytest.mark.nightly
def test_a_finished_run_is_read_and_a_larger_one_goes_on(finished_run):
    directory, _ = finished_run
    before = (directory / "generation-3" / "model.keras").read_bytes()
    settings = [f"--epochs={EPOCHS}", f"--arch={one_convolution.ARCH}"]
    command = [sys.executable, "-m", "ban_tf.main", "--gens=4", *settings, "--noreport"]
    done = warm.run([*command, f"--workdir={directory}"], cwd=directory.parents[1])
    assert done.returncode == 0, done.stderr
    assert "generation 4/4" in done.stdout
    assert "generation 3/4" not in done.stdout
    assert (directory / "generation-3" / "model.keras").read_bytes() == before


def test_a_run_with_other_settings_is_refused(finished_run):
    directory, _ = finished_run
    settings = {"arch": one_convolution.ARCH, "epochs": EPOCHS, "learning_rate": 0.2}
    chosen = options.check(options.Options(**settings, workdir=str(directory)))
    with pytest.raises(RunDirectoryError, match=r"learning_rate was 0\.1 and is now 0\.2"):
        runner.run(chosen)


def test_the_library_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = _blocks("python")
    exec(example, {})
    assert (tmp_path / "born_again.keras").is_file()
