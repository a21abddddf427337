from __future__ import annotations

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from ban_tf.metrics import classification, summary
from ban_tf.metrics.table import METRICS
from ban_tf.report import plots, tensorboard


def points(directory):
    """Returns tag -> [(step, value), ...] of one TensorBoard run, doubled steps included."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [
            (event.step, float(np.frombuffer(event.tensor_proto.tensor_content, "float32")[0]))
            if event.tensor_proto.tensor_content
            else (event.step, event.tensor_proto.float_val[0])
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    }


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("loss", "training/loss"),
        ("teacher_loss", "training/teacher_loss"),
        ("val_accuracy", "validation/accuracy"),
        ("learning_rate", "schedule/learning_rate"),
        ("examples_per_second", "speed/examples_per_second"),
    ],
)
def test_tags_group_quantities(name, tag):
    assert tensorboard.tag(name) == tag


def test_generations_of_a_real_training_have_the_same_tags(tmp_path):
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(16, 4)), rng.integers(3, size=16)
    histories = []
    for generation in (0, 1):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        scalars = tensorboard.TensorBoardScalars(tmp_path, generation)
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
        fitted = model.fit(
            inputs,
            labels,
            epochs=3,
            validation_data=(inputs, labels),
            callbacks=[schedule, scalars],
            verbose=0,
        )
        histories.append(fitted.history)
    first, second = (points(tmp_path / f"generation-{generation}") for generation in (0, 1))
    assert (
        first.keys()
        == second.keys()
        == {
            "training/loss",
            "training/accuracy",
            "validation/loss",
            "validation/accuracy",
            "schedule/learning_rate",
        }
    )
    steps, values = zip(*second["validation/loss"], strict=True)
    assert steps == (1, 2, 3)
    np.testing.assert_allclose(values, histories[1]["val_loss"], rtol=1e-6)


def test_a_killed_and_resumed_run_has_every_step_once(tmp_path):
    killed = tensorboard.TensorBoardScalars(tmp_path, 1)
    killed.on_train_begin()
    for epoch in range(4):
        killed.on_epoch_end(epoch, {"loss": 10.0 - epoch, "val_loss": 1.0})
    # Killed now, and its last epoch was not yet in the history.
    rows = [{"epoch": epoch + 1, "loss": 10.0 - epoch, "val_loss": 1.0} for epoch in range(3)]
    resumed = tensorboard.TensorBoardScalars(tmp_path, 1, rows=rows)
    resumed.on_train_begin()
    for epoch in range(3, 6):
        resumed.on_epoch_end(epoch, {"loss": 10.0 - epoch, "val_loss": 1.0})
    resumed.on_train_end()
    assert points(tmp_path / "generation-1") == {
        "training/loss": [(epoch + 1, 10.0 - epoch) for epoch in range(6)],
        "validation/loss": [(epoch + 1, 1.0) for epoch in range(6)],
    }


def test_each_epoch_can_be_read_during_training(tmp_path):
    scalars = tensorboard.TensorBoardScalars(tmp_path, 0)
    scalars.on_train_begin()
    scalars.on_epoch_end(0, {"loss": 2.0})
    assert points(tmp_path / "generation-0") == {"training/loss": [(1, 2.0)]}


def test_an_epoch_trained_twice_counts_once_and_other_generations_are_left_alone(tmp_path):
    other = tensorboard.TensorBoardScalars(tmp_path, 0, rows=[{"epoch": 0, "loss": 5.0}])
    other.on_train_begin()
    other.on_train_end()
    rows = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}]
    scalars = tensorboard.TensorBoardScalars(tmp_path, 1, rows=rows)
    scalars.on_train_begin()
    scalars.on_epoch_end(1, {"loss": 1.0})
    scalars.on_train_end()
    assert points(tmp_path / "generation-1") == {"training/loss": [(1, 3.0), (2, 1.0)]}
    assert points(tmp_path / "generation-0") == {"training/loss": [(0, 5.0)]}


def test_rows_may_come_from_a_csv_file_with_gaps(tmp_path):
    rows = [{"epoch": "0", "loss": "2.5", "val_loss": ""}, {"epoch": "1", "loss": "1.5", "x": None}]
    scalars = tensorboard.TensorBoardScalars(tmp_path, 0, rows=rows)
    scalars.on_train_begin()
    scalars.on_train_end()
    assert points(tmp_path / "generation-0") == {"training/loss": [(0, 2.5), (1, 1.5)]}


def test_the_summary_gives_curves_over_generations_and_the_tables(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=50)
    logits = rng.normal(size=(3, 50, 3))
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    members = [summary.Member(k, "labels", log_probabilities[k], 1.0) for k in range(3)]
    run = {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0}
    content = summary.summarize(run, members, labels)

    for _ in range(2):  # writing again replaces
        tensorboard.write_summary(tmp_path, content)

    errors = [row["error"] for row in content["generations"]]
    curve = points(tmp_path / "generations")
    assert set(curve) == {
        "final/ensemble_error",
        *(f"final/{name}" for name in METRICS if name in content["generations"][0]),
    }
    assert [step for step, _ in curve["final/error"]] == [0, 1, 2]
    np.testing.assert_allclose([value for _, value in curve["final/error"]], errors, rtol=1e-6)
    assert [step for step, _ in points(tmp_path / "ensembles")["final/error"]] == [2]
    with_0 = points(tmp_path / "ensembles-with-generation-0")["final/error"]
    assert [step for step, _ in with_0] == [1, 2]

    events = EventAccumulator(str(tmp_path / "generations"))
    events.Reload()
    text = events.Tensors("summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith("# Born-again wrn-16-1 on digits")


def test_a_single_generation_makes_no_empty_ensemble_runs(tmp_path):
    members = [summary.Member(0, "labels", np.log([[0.5, 0.5]]), 1.0)]
    run = {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0}
    tensorboard.write_summary(tmp_path, summary.summarize(run, members, np.array([0])))
    assert [path.name for path in tmp_path.iterdir()] == ["generations"]


def test_pictures_and_flags_go_with_the_generations(tmp_path):
    labels = np.array([0, 1, 1])
    log_probabilities = np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    members = [summary.Member(k, "labels", log_probabilities, 1.0) for k in range(2)]
    run = {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0}
    counts = classification.confusion_matrix(log_probabilities, labels)
    pictures = {"confusion matrix": {k: plots.confusion_matrix(counts, "ab") for k in range(2)}}
    settings = {"epochs": 3, "learning_rate": 0.1, "objective": "kd", "clip_norm": None}
    content = summary.summarize(run, members, labels)
    tensorboard.write_summary(tmp_path, content, settings, pictures, name="runs/mine")

    events = EventAccumulator(str(tmp_path / "generations"), size_guidance={"tensors": 0})
    events.Reload()
    images = events.Tensors("confusion matrix")
    assert [event.step for event in images] == [0, 1]
    for event in images:  # width, height, picture
        assert event.tensor_proto.string_val[2].startswith(b"\x89PNG")
    plugin = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    started = plugin_data_pb2.HParamsPluginData.FromString(plugin).session_start_info
    assert started.group_name == "runs/mine"  # what the table calls it
    assert started.hparams["learning_rate"].number_value == 0.1
    assert started.hparams["objective"].string_value == "kd"
    assert "clip_norm" not in started.hparams  # a column of nothing


def test_a_finished_generation_is_written_again_without_gaps(tmp_path):
    killed = tensorboard.TensorBoardScalars(tmp_path, 0)
    killed.on_train_begin()
    killed.on_epoch_end(0, {"loss": 3.0})
    rows = [
        {"epoch": epoch, "loss": 4.0 - epoch, "examples_per_second": 10.0} for epoch in (1, 2, 3)
    ]
    tensorboard.write_history(tmp_path, 0, rows)
    assert points(tmp_path / "generation-0") == {
        "training/loss": [(1, 3.0), (2, 2.0), (3, 1.0)],
        "speed/examples_per_second": [(1, 10.0), (2, 10.0), (3, 10.0)],
    }
