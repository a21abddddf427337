"""Runs whose data has moved to another path."""

import pytest
from sklearn.datasets import load_wine

import ban_tf
from ban_tf.config import options
from ban_tf.errors import RunDirectoryError
from ban_tf.runs import generations
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import runner
from tests.run_weights import assert_same_weights


def _train(dataset, workdir, gens):
    given = {"arch": "mlp-1-8", "gens": gens, "epochs": 1, "progress": "none", "report": False}
    runner.run(options.check(options.Options(dataset=str(dataset), workdir=str(workdir), **given)))


def test_a_run_is_resumed_on_the_same_data_elsewhere_and_on_no_other(tmp_path, monkeypatch):
    table = load_wine(as_frame=True).frame
    (tmp_path / "new").mkdir()
    table.to_csv(tmp_path / "wine.csv", index=False)
    _train(f"csv:{tmp_path / 'wine.csv'}", tmp_path / "whole", gens=1)
    _train(f"csv:{tmp_path / 'wine.csv'}", tmp_path / "run", gens=0)
    (tmp_path / "wine.csv").rename(tmp_path / "new" / "wine.csv")
    table.iloc[:-1].to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(RunDirectoryError, match=r"data was .* dataset was"):
        _train(f"csv:{tmp_path / 'less.csv'}", tmp_path / "run", gens=1)
    with pytest.raises(RunDirectoryError, match="dataset was"):  # of another kind
        _train(f"table:{tmp_path / 'new' / 'wine.csv'}", tmp_path / "run", gens=1)
    monkeypatch.chdir(tmp_path / "new")
    _train("csv:wine.csv", tmp_path / "run", gens=1)
    assert_same_weights(tmp_path / "whole", tmp_path / "run", range(2))
    run = ban_tf.Run(tmp_path / "run")
    assert run.summary["run"]["dataset"] == run.settings["dataset"] == "csv:wine.csv"
    found = run.evaluate(f"csv:{tmp_path / 'new' / 'wine.csv'}")["generations"][1]
    assert found["error"] == run.summary["generations"][1]["error"]


def test_a_run_that_recorded_no_hash_is_not_resumed_on_data_elsewhere(tmp_path):
    with RunDirectory(tmp_path) as directory:
        settings = {"dataset": "folder:/before"}
        directory.commit({"generation-0/metrics.json": b"{}"}, metadata={"settings": settings})
        now = {"dataset": "folder:/now", "data": "its hash"}
        with pytest.raises(RunDirectoryError, match="dataset was 'folder:/before'"):
            generations.check_settings(directory, now, {"data": "its hash"})
