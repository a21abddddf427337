"""`--class_weight` in the batches of a run, and in its directory."""

import numpy as np
import pytest

from ban_tf.config import options
from ban_tf.distribution.workers import Workers
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import runner, saturation
from ban_tf.tasks.image_classification import ImageClassification

SMALL = {
    "arch": "tests.tasks.test_teacher_signal:build",
    "train_examples": 60,
    "epochs": 1,
    "gens": 1,
    "batch_size": 16,
    "progress": "none",
    "report": False,
    "objective": "kd+labels",
}


def _options(directory, **changes):
    return options.check(options.Options(workdir=str(directory), **{**SMALL, **changes}))


def _first_batch(directory, **changes):
    task = ImageClassification(_options(directory, **changes), Workers())
    task.load()
    with RunDirectory(directory) as run:
        task.open(run)
        return task._class_weights, next(iter(task.training_batches(1, 0, 0).get_tf_dataset()))


def test_each_example_has_the_weight_of_its_class(tmp_path):
    weights, (_, labels, given) = _first_batch(tmp_path, class_weight="balanced")
    assert len(np.unique(weights)) > 1
    np.testing.assert_array_equal(given, weights[labels])


def test_a_mixed_example_has_the_mean_weight(tmp_path):
    weights, (_, labels, given) = _first_batch(tmp_path, class_weight="balanced", cutmix=1.0)
    assert labels.shape == (16, 10)
    np.testing.assert_allclose(given, labels.numpy() @ weights, rtol=1e-5)


@pytest.mark.nightly
def test_a_run_is_resumed_with_the_same_weights(tmp_path, capsys):
    file = tmp_path / "weights.csv"

    def run(teacher_signal="recorded", weight=1.0, **changes):
        rows = "".join(f"{digit},{weight}\n" for digit in range(10))
        file.write_text("class,weight\n" + rows)
        given = {"class_weight": str(file), "teacher_signal": teacher_signal, **changes}
        return runner.run(_options(tmp_path / teacher_signal, **given))

    run()
    assert "\nTraining examples by class: 0 " in capsys.readouterr().out
    run(gens=2)
    with pytest.raises(RunDirectoryError, match="class_weight"):
        run(weight=2.0)


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(options.OptionsError, match="--class_weight must be balanced, or name a"):
        _options(tmp_path, class_weight="nothing.csv")


@pytest.mark.nightly
def test_the_balanced_accuracy_is_monitored_and_resumed(tmp_path, monkeypatch):
    given = {"monitor": "val_balanced_accuracy", "checkpoint": "best", "epochs": 2, "gens": 0}
    given |= {"report": True}
    result = runner.run(_options(tmp_path / "run", validation_fraction=0.4, **given))
    (row,) = result["generations"]
    assert 0 <= row["balanced_accuracy"] <= 1
    assert sum(row["by_class"]["support"]) == row["examples"]
    history = (tmp_path / "run/generation-0/history.csv").read_text().splitlines()
    assert "val_balanced_accuracy" in history[0].split(",")
    page = (tmp_path / "run/report.html").read_text()
    assert "Classes, by generation 0" in page
    runner.run(_options(tmp_path / "run", validation_fraction=0.4, **{**given, "gens": 1}))
    with pytest.raises(RunDirectoryError, match="monitor"):
        runner.run(_options(tmp_path / "run", validation_fraction=0.4, checkpoint="best", epochs=2))


def test_a_lineage_ends_by_the_mean_error_of_the_classes():
    labels = np.repeat([0, 1], [200, 40])
    before = np.where(np.arange(240) < 190, 0, 1)[:, None] == np.arange(2)  # ten of class 0 wrong
    before[200:220] = [True, False]  # and half of class 1
    now = before.copy()
    now[180:190] = [False, True]  # ten more of class 0
    now[200:210] = [False, True]  # ten fewer of class 1
    assert saturation.balanced_error_improved(now, before, labels)
    assert not saturation.error_improved(now, before, labels)
    assert not saturation.balanced_error_improved(before, before, labels)
