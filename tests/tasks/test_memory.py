"""A batch that does not fit into the memory of the machine is refused before training."""

import keras
import numpy as np
import pytest

from ban_tf import architectures, datasets
from ban_tf.config import options
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.runs import eval_batches
from ban_tf.system import hardware
from ban_tf.tasks import image_scores
from ban_tf.tasks.image_classification import ImageClassification
from ban_tf.tasks.language_modeling import LanguageModeling


def _of_memory(task, monkeypatch, memory, **changes):
    monkeypatch.setattr(hardware, "memory", lambda: None)
    checked = options.check(options.Options(**changes))
    monkeypatch.setattr(hardware, "memory", lambda: memory)
    found = task(checked, Workers())
    found.load()
    return found


def test_words_of_a_batch(monkeypatch):
    sizes = {"dataset": "text", "arch": "lstm-1-4", "batch_size": 20, "unroll": 10}
    _of_memory(LanguageModeling, monkeypatch, 20 * 10 * 2500 * 8, **sizes)
    _of_memory(LanguageModeling, monkeypatch, None, **sizes)
    with pytest.raises(InputError, match="--batch_size=20 with --unroll=10 needs more than"):
        _of_memory(LanguageModeling, monkeypatch, 20 * 10 * 1000 * 8, **sizes)


def test_a_batch_of_evaluation_fits(monkeypatch):
    convolution = keras.layers.Conv2D(10, 3, 2)
    network = keras.Sequential([keras.Input((80, 100, 3)), keras.Sequential([convolution])])
    image = 4 * (2 * 39 * 49 * 10 + 5 * 80 * 100 * 3)
    monkeypatch.setattr(eval_batches.devices, "accelerators", list)
    most = 2**27 // image
    for memory, size in ((None, most), (2**40, most), (8 * 7 * image, 7), (1, 1)):
        monkeypatch.setattr(hardware, "memory", lambda memory=memory: memory)
        assert eval_batches.size_for(lambda: [network], (80, 100, 3)) == size
        assert eval_batches.size_for(lambda: [network], (80, 100, 3), 600) == 600
        assert eval_batches.size_for(lambda: [network], (64, 64, 3)) == 500


def test_results_do_not_depend_on_the_batch_of_evaluation():
    data = datasets.load("digits", train_examples=60)
    model = architectures.build("wrn-10-1", data.input_shape, data.num_classes)
    one, other = (
        image_scores.log_probabilities(model, data.test, data, batch_size=size)
        for size in (None, 7)
    )
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_images_of_a_batch(monkeypatch):
    largest = 100 * 8 * 8 * 16 * 8  # of wrn-10-1 on digits
    sizes = {"arch": "wrn-10-1", "batch_size": 100}
    _of_memory(ImageClassification, monkeypatch, largest, **sizes).compile_arguments()
    task = _of_memory(ImageClassification, monkeypatch, largest - 1, **sizes)
    with pytest.raises(InputError, match="--batch_size=100 needs more than"):
        task.compile_arguments()
