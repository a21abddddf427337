"""`--ensemble_average=logits` of networks that end in probabilities is refused before training."""

from __future__ import annotations

import keras
import pytest

from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import runner
from tests.tasks import segmenters

_HERE = "tests.tasks.test_ensembles_of_logits"


def _network(input_shape, num_classes, end):
    dense = keras.layers.Dense(num_classes, activation=end)
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), dense])


def softmax(input_shape, num_classes):
    return _network(input_shape, num_classes, "softmax")


def sigmoid(input_shape, num_classes):
    return _network(input_shape, num_classes, "sigmoid")


def linear(input_shape, num_classes):
    return _network(input_shape, num_classes, None)


@pytest.fixture
def prepare(tmp_path):
    def prepare(dataset="digits", average="logits", **changes):
        folder = tmp_path / "run"
        given = options.Options(
            dataset=dataset, ensemble_average=average, workdir=str(folder), **changes
        )
        runner.prepare(options.check(given))
        assert not folder.exists()

    return prepare


def _drawn_masks(folder):
    segmenters.draw(folder, {"train": 6, "test": 2})
    return f"segmentation:{folder}"


@pytest.mark.parametrize("gens", [0, 1, "auto"])
def test_classifiers_that_end_in_a_softmax(gens, prepare):
    message = (
        rf"--ensemble_average=logits needs networks that end in logits, and --arch={_HERE}:softmax "
        r"ends in a softmax; end it in logits, or use --ensemble_average=probabilities\."
    )
    with pytest.raises(InputError, match=message):
        prepare(arch=f"{_HERE}:softmax", gens=gens)


def test_the_members_are_students(prepare):
    both = {"arch": f"{_HERE}:linear", "student_arch": f"{_HERE}:softmax"}
    with pytest.raises(InputError, match=r"and --student_arch=\S+:softmax ends in a softmax"):
        prepare(**both)


def test_classifiers_of_labels_that_end_in_a_sigmoid(prepare):
    given = {"dataset": "multilabel:digits", "arch": f"{_HERE}:sigmoid"}
    with pytest.raises(InputError, match=r"and --arch=\S+:sigmoid ends in a sigmoid;"):
        prepare(**given)
    prepare(average="probabilities", **given)


def test_segmenters_that_end_in_a_softmax(prepare, tmp_path):
    with pytest.raises(InputError, match=r"and --arch=\S+:build ends in a softmax;"):
        prepare(_drawn_masks(tmp_path / "data"), arch="tests.tasks.segmenters:build", batch_size=2)


def test_what_ends_in_logits_is_accepted(prepare):
    prepare(arch=f"{_HERE}:linear")
    prepare(arch="wrn-10-1")
    prepare("text", arch="lstm-1-4", batch_size=4)
