"""`--callbacks` brings Keras callbacks of the user's to every generation, on the chief."""

import dataclasses
import json
import pathlib
import sys

import keras
import pytest

from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import own_callbacks, runner

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
_MODULE = """
import keras

calls = []
seen = []
number = 3


class Seen(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        seen.append((epoch, sorted(logs)))


def watch(run, generation):
    calls.append((run.path.name, run.settings["seed"], generation))
    return [Seen()]


def stop(run, generation):
    def end(epoch, logs):
        if (generation, epoch) == (1, 0):
            raise KeyboardInterrupt

    return [keras.callbacks.LambdaCallback(on_epoch_end=end)]


def one(run, generation):
    return keras.callbacks.Callback()


def a_class(run, generation):
    return [keras.callbacks.Callback]


def nothing(run, generation):
    pass


def broken(run, generation):
    return run.no_such_attribute


def of_one(run):
    return []
"""
_TINY = {
    **{"arch": "convolutions:build", "gens": 1, "epochs": 2},
    **{"train_examples": 60, "batch_size": 30},
    **{"progress": "none", "strategy": "one", "augment": "none", "teacher_signal": "online"},
    "report": False,
}


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "watchers.py").write_text(_MODULE)
    monkeypatch.delitem(sys.modules, "watchers", raising=False)
    for place in (tmp_path, EXAMPLES, pathlib.Path(__file__).parents[1] / "distribution"):
        monkeypatch.syspath_prepend(place)
    monkeypatch.chdir(tmp_path)


def _options(name, **changes):
    given = {**_TINY, "workdir": "run", "callbacks": name, **changes}
    return options.check(options.Options(**given))


@pytest.mark.nightly
@pytest.mark.slow
def test_they_see_each_epoch_of_each_generation_and_may_change_when_resumed():
    with pytest.raises(KeyboardInterrupt):
        runner.run(_options("watchers:stop"))
    runner.run(_options("watchers:watch"))
    watchers = sys.modules["watchers"]
    # The epoch in which the training was interrupted is not saved, and is trained again.
    assert watchers.calls == [("run", 0, 1)]
    assert [epoch for epoch, _ in watchers.seen] == [0, 1]
    assert {"loss", "accuracy", "val_accuracy"} <= set(watchers.seen[0][1])
    plain = runner.run(_options(None, workdir="plain"))
    resumed = json.loads(pathlib.Path("run/summary.json").read_text())
    for ours, theirs in zip(resumed["generations"], plain["generations"], strict=True):
        assert ours["negative_log_likelihood"] == theirs["negative_log_likelihood"]


@pytest.mark.nightly
@pytest.mark.slow
def test_the_example_keeps_the_epochs_of_a_run():
    runner.run(_options("tracking:json_lines"))
    lines = pathlib.Path("tracked/run.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["generation"], row["epoch"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    history = runner.Run("run").history
    assert [row["val_loss"] for row in rows] == pytest.approx(
        [row["val_loss"] for number in (0, 1) for row in history[number]]
    )


@pytest.mark.slow
def test_the_example_writes_to_a_local_mlflow():
    mlflow = pytest.importorskip("mlflow")
    runner.run(_options("tracking:mlflow_here"))
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("run").experiment_id])
    assert sorted(one.info.run_name for one in found) == ["generation-0", "generation-1"]
    for one in found:
        assert len(client.get_metric_history(one.info.run_id, "val_loss")) == 2
        assert one.data.params["arch"] == "convolutions:build"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("watchers:number", "must be a function of a run and the number of a generation"),
        ("watchers:of_one", "must be a function of a run and the number of a generation"),
        ("watchers:absent", "watchers has no absent"),
        ("nowhere:watch", "there is no module nowhere"),
        ("watchers", "must have the form package.module:function"),
    ],
)
def test_what_is_no_such_function_is_refused_before_data_is_loaded(name, message, monkeypatch):
    monkeypatch.setattr("ban_tf.tasks.image_classification.ImageClassification.load", None)
    with pytest.raises(InputError, match=f"--callbacks={name}.*{message}") as caught:
        runner.prepare(_options(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["one", "a_class", "nothing"])
def test_what_returns_no_list_of_callbacks_is_refused(name):
    with pytest.raises(InputError, match=f"watchers:{name} must return a list of Keras callbacks"):
        own_callbacks.load(f"watchers:{name}")(None, 0)


def test_its_own_errors_are_left_to_it():
    with pytest.raises(AttributeError, match="no_such_attribute") as caught:
        own_callbacks.load("watchers:broken")(None, 0)
    assert any(entry.path.name == "watchers.py" for entry in caught.traceback)


def test_only_the_chief_calls_it(monkeypatch):
    @dataclasses.dataclass
    class _Task:
        workers: object
        options: object = None

        def callbacks(self, generation, rows):
            return [keras.callbacks.Callback()]

    def called(run, generation):
        raise AssertionError("called")

    other = _Task(dataclasses.make_dataclass("Workers", [("chief", bool)])(False))
    rest = {field.name: None for field in dataclasses.fields(runner.Prepared)}
    prepared = runner.Prepared(**{**rest, "task": other, "own_callbacks": called})
    assert len(runner._callbacks(prepared, None, 0, [])) == 1
