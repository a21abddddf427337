"""A batch that does not fit into the memory of the machine is refused before training."""

import pytest

from ban_tf.config import options
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.system import hardware
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


def test_images_of_a_batch(monkeypatch):
    largest = 100 * 8 * 8 * 16 * 8  # of wrn-10-1 on digits
    sizes = {"arch": "wrn-10-1", "batch_size": 100}
    _of_memory(ImageClassification, monkeypatch, largest, **sizes).compile_arguments()
    task = _of_memory(ImageClassification, monkeypatch, largest - 1, **sizes)
    with pytest.raises(InputError, match="--batch_size=100 needs more than"):
        task.compile_arguments()
