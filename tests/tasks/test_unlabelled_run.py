"""`--unlabelled`: born-again generations learn from images without labels, too."""

import contextlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import runner, teacher_signal
from ban_tf.tasks.image_classification import ImageClassification
from tests.run_weights import assert_same_weights

SMALL = {
    "arch": "tests.tasks.test_teacher_signal:build",
    "train_examples": 60,
    "epochs": 2,
    "gens": 2,
    "batch_size": 20,
    "progress": "none",
    "report": False,
    "validation_fraction": 0.2,
    "augment": "crop",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty digits that are no training data, and three of the test data."""
    path = tmp_path_factory.mktemp("unlabelled")
    found = digits.load()
    train, test = found.train, found.test
    for index, image in enumerate([*train.images[100:160], *test.images[:3]]):
        Image.fromarray(image[..., 0]).save(path / f"{index:03}.png")
    return path


def _options(directory, folder, **changes):
    given = {**SMALL, "unlabelled": f"folder:{folder}", **changes}
    return options.check(options.Options(workdir=str(directory), **given))


GIVEN = {"unlabelled_confidence": 0.05, "unlabelled_balance": 15}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder):
    """A run, and what it printed."""
    path, printed = tmp_path_factory.mktemp("run") / "whole", io.StringIO()
    with contextlib.redirect_stdout(printed):
        runner.run(_options(path, folder, **GIVEN))
    return path, printed.getvalue()


def test_a_run_learns_from_them(whole):
    path, printed = whole
    assert "Unlabelled images: 60." in printed
    assert (
        "left out, since they are identical to ones of the validation or test data: 3." in printed
    )
    for number in (1, 2):
        choice = json.loads((path / f"unlabelled-{number}.json").read_text())
        kept, dropped = sum(choice["kept"]), sum(choice["dropped"])
        assert len(choice["chosen"]) == kept <= 60 == kept + dropped
        assert max(choice["kept"]) <= 15
        assert f"Generation {number} learns from {kept} of 60 unlabelled images" in printed


@pytest.mark.nightly
def test_a_run_with_them_resumes_bit_for_bit(tmp_path, folder, whole):
    runner.run(_options(tmp_path / "parts", folder, **GIVEN, **{"gens": 1}))
    runner.run(_options(tmp_path / "parts", folder, **GIVEN))
    assert_same_weights(whole[0], tmp_path / "parts", range(3))


def test_images_of_the_test_data_alone_are_refused(tmp_path):
    for index, image in enumerate(digits.load().test.images[:3]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    task = ImageClassification(_options(tmp_path / "run", tmp_path), Workers())
    with pytest.raises(InputError, match=r"--unlabelled=.*: every image is identical .*; give oth"):
        task.load()


def test_epochs_have_as_many_steps_as_all_images_and_resume_anywhere(tmp_path, folder, monkeypatch):
    task = ImageClassification(_options(tmp_path, folder), Workers())
    task.load()
    steps = task.steps_per_epoch()
    assert steps == (len(task.data.train.labels) + 60) // 20
    monkeypatch.setattr(teacher_signal, "_probabilities", lambda *given: np.full((60, 10), 0.1))
    with RunDirectory(tmp_path) as run:
        task.open(run)
        assert task.recorded
        every = task.signal._with_unlabelled(1, None)
        assert np.sum(every.train.labels == -1) == 60

        def batches(generation, epoch, step, count):
            signal = task.signal.training_batches(generation, epoch, step)
            return [labels.numpy() for _, labels in signal.take(count)]

        whole = batches(0, 0, 0, 2 * steps)
        assert min(labels.min() for labels in whole) >= 0  # generation 0 has labels alone
        for found, expected in zip(batches(0, 1, 1, 3), whole[steps + 1 :], strict=False):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.2}, "leave out --mixup"),
        ({"teacher_signal": "online"}, "leave out --teacher_signal=online"),
        ({"objective": "importance"}, "objectives that read no labels"),
        ({"unlabelled": "folder:nowhere"}, "--unlabelled must be folder:PATH"),
    ],
)
def test_what_cannot_be_together_is_refused(tmp_path, folder, changes, message):
    with pytest.raises(options.OptionsError, match=message):
        _options(tmp_path, folder, **changes)
