"""A whole run with recorded teachers against the same run with online teachers."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

from ban_tf import datasets
from ban_tf.config import options
from ban_tf.distillation import recording, teachers
from ban_tf.errors import InputError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import flag_names
from ban_tf.tasks import runner, teacher_passes, teacher_signal

SMALL = {
    "arch": "tests.tasks.test_teacher_signal:build",
    "train_examples": 150,
    "epochs": 3,
    "gens": 1,
    "augment": "yes",
    "progress": "none",
    "report": False,
    "learning_rate": 0.05,
}


def build(input_shape, num_classes):
    """A network small enough to train in a second, with all that a teacher can have."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes),
        ]
    )


def _run(directory, **changes):
    checked = options.check(options.Options(workdir=str(directory), **{**SMALL, **changes}))
    runner.run(checked)
    with RunDirectory(directory) as run:
        models = [
            keras.models.load_model(pathlib.Path(directory) / f"generation-{number}/model.keras")
            for number in range(2)
        ]
        return models, run.metadata["teacher_signal"]["recorded"]


def _signal(directory, **changes):
    checked = options.check(options.Options(workdir=str(directory), **{**SMALL, **changes}))
    data = datasets.load("digits", train_examples=checked.train_examples)
    with RunDirectory(directory) as run:
        return teacher_signal.TeacherSignal(checked, data, run)


@pytest.mark.nightly
def test_with_a_view_for_each_epoch_recorded_equals_online_to_rounding(tmp_path):
    online, kind = _run(tmp_path / "online")
    assert not kind  # what auto decides: nothing is saved by recording
    # Nor does it matter how many steps are taken at a time.
    recorded, kind = _run(tmp_path / "recorded", teacher_signal="recorded", steps_per_execution=2)
    assert kind
    for ours, theirs in zip(recorded, online, strict=True):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3)
    views = list((tmp_path / "recorded" / "recordings").glob("*/view-*.npy"))
    assert len(views) == 3 + 1  # three epochs, and the validation data
    rows = [
        (tmp_path / kind / "generation-1" / "history.csv").read_text().splitlines()
        for kind in ("online", "recorded")
    ]
    assert rows[0][0] == rows[1][0]
    np.testing.assert_allclose(
        *([[float(value) for value in line.split(",")] for line in row[1:]] for row in rows),
        atol=1e-2,
    )


def test_as_many_largest_outputs_as_classes_are_refused_before_training(tmp_path):
    refused = pytest.raises(
        InputError, match=r"--teacher_top must be between 1 and 9, .* it is 10\."
    )
    with flag_names.kept(), refused:
        _signal(tmp_path, teacher_signal="recorded", teacher_top=10)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(("views", "top"), [(2, None), (3, None), (2, 4)])
def test_students_see_the_very_images_that_were_recorded(tmp_path, views, top, monkeypatch):
    changes = {"teacher_views": views, "teacher_top": top, "batch_size": 16}
    signal = _signal(tmp_path, teacher_signal="recorded", **changes)
    teacher = teachers.OnlineTeacher([build((8, 8, 1), 10)])
    steps = len(signal.data.train.labels) // 16
    batches = list(signal.training_batches(1, 0, 0, teacher).take(3 * steps))
    form = recording.Form(1, 1, 10, top)
    for images, targets in batches:
        (online,) = teacher.logits(images).values()
        expected = recording.unpack(recording.pack(online.numpy(), form), form)
        np.testing.assert_allclose(targets["teacher_logits"], expected, atol=4e-3)
    assert len(list(tmp_path.glob("recordings/*/view-*.npy"))) == views
    # Without recording, the same images come in the same order.
    plain = _signal(
        tmp_path / "online", teacher_signal="online", **{**changes, "teacher_top": None}
    )
    for (images, targets), (others, labels) in zip(
        batches, plain.training_batches(1, 0, 0), strict=False
    ):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(targets["labels"], labels)
    # Other students of the same teacher use the recording, and do not run it again.
    monkeypatch.setattr(teacher_passes, "predictor", lambda teacher, kind: None)
    for objective in ("dkpp", "cwtm"):
        other = _signal(
            tmp_path / objective,
            teacher_signal="recorded",
            objective=objective,
            recordings=str(tmp_path / "recordings"),
            **changes,
        )
        _, targets = next(iter(other.training_batches(1, 1, 0, teacher)))
        np.testing.assert_array_equal(
            targets["teacher_logits"], batches[steps][1]["teacher_logits"]
        )


def test_an_epoch_sees_its_number_modulo_the_views(tmp_path):
    signal = _signal(tmp_path, teacher_views=2, epochs=4)
    steps = len(signal.data.train.labels) // signal.options.batch_size
    batches = signal.training_batches(1, 0, 0).take(4 * steps)
    seen = [{image.numpy().tobytes() for image in images} for images, _ in batches]
    epochs = [set().union(*seen[start : start + steps]) for start in range(0, 4 * steps, steps)]
    assert len(epochs[0] & epochs[2]) > len(epochs[0]) / 2
    assert len(epochs[0] & epochs[1]) < len(epochs[0]) / 5


def test_validation_data_carry_the_teacher_too(tmp_path):
    signal = _signal(tmp_path, validation_fraction=0.3)
    teacher = teachers.OnlineTeacher([build((8, 8, 1), 10)])
    for images, targets in signal.validation_batches(1, teacher):
        (online,) = teacher.logits(images).values()
        np.testing.assert_allclose(targets["teacher_logits"], online, atol=4e-3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"augment": "no"}, True),
        ({"teacher_views": 2}, True),
        ({"teacher": "first"}, True),
        ({}, False),
        ({"augment": "no", "gens": 0}, False),
    ],
)
def test_auto_records_where_that_saves_time(tmp_path, changes, expected):
    signal = _signal(tmp_path, **{"gens": 2, **changes})
    assert signal.recorded == expected
    # A restart keeps to what was decided, whatever would be decided now.
    now = {"epochs": 5} if changes.get("augment") == "no" else {"epochs": 5, "teacher_views": 1}
    restarted = _signal(tmp_path, **{"gens": 2, **changes, **now})
    assert restarted.recorded == expected


def test_auto_asks_online_where_the_disk_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr(recording.Form, "bytes", 10**18)
    assert not _signal(tmp_path, augment="no").recorded


def test_a_recording_is_named_after_teacher_data_and_augmentation():
    model, twin = build((8, 8, 1), 3), build((8, 8, 1), 3)
    images = np.arange(64, dtype=np.uint8)
    name = recording.digest([model], images, 5)
    twin.set_weights(model.get_weights())
    assert recording.digest([twin], images, 5) == name
    assert recording.digest([model], images, 6) != name
    assert recording.digest([model], images[:-1], 5) != name
    assert recording.digest([model, twin], images, 5) != name
    weights = model.get_weights()
    weights[0] = np.nextafter(weights[0], 1)
    twin.set_weights(weights)
    assert recording.digest([twin], images, 5) != name


def test_more_views_than_epochs_are_refused():
    with pytest.raises(options.OptionsError, match=r"--teacher_views.*--epochs=3"):
        options.check(options.Options(epochs=3, teacher_views=4))


def test_a_run_keeps_the_augmentation_that_auto_meant_when_it_began(tmp_path):
    """Runs of earlier versions did not record it: they knew crops of constant size alone."""
    images = np.zeros((20, 64, 64, 3), np.uint8)
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape)
    split = datasets.Split(images, np.arange(20, dtype=np.int32) % 2)
    half = np.full(3, 0.5, np.float32)
    data = datasets.ImageData("photos", split, split, split, ("a", "b"), half, half, True)
    given = {"dataset": "cifar10", "augment": "auto", "train_examples": None, "batch_size": 20}

    def first(folder):
        checked = options.Options(workdir=str(tmp_path / folder), **{**SMALL, **given})
        with RunDirectory(tmp_path / folder) as run:
            signal = teacher_signal.TeacherSignal(checked, data, run)
        return next(iter(signal.training_batches(0, 0, 0)))[0].numpy()

    with RunDirectory(tmp_path / "old") as run:
        run.commit(metadata={"teacher_signal": {"recorded": False, "views": 3}})
    new, old = first("new"), first("old")
    np.testing.assert_array_equal(first("new"), new)
    values = {float(value) for value in np.unique((images / 255 - 0.5) / 0.5)}
    assert all(np.abs(np.array(list(values)) - pixel).min() < 1e-5 for pixel in old[0, 0, :, 0])
    assert not np.allclose(new, old)
