"""A run notes where it is trained, and says if it is resumed under other versions or threads."""

import pytest
import tensorflow as tf

from ban_tf.distribution import strategies
from ban_tf.errors import InputError
from ban_tf.runs import surroundings
from ban_tf.runs.rundir import ReadOnlyDirectory, RunDirectory
from ban_tf.system import environment


def test_versions_threads_and_processor_are_noted(tmp_path, caplog):
    with RunDirectory(tmp_path) as directory:
        surroundings.note(directory)
        noted = directory.metadata["surroundings"]
        surroundings.note(directory)
    assert noted["tensorflow"] == tf.__version__ and noted["backend"] == "tensorflow"
    assert {"Python", "keras", "numpy", "processor", "accelerators"} <= set(noted)
    assert int(noted["threads within operations"]) >= 1
    assert not caplog.text


def test_what_changed_is_reported_once_in_one_line(tmp_path, caplog, monkeypatch):
    with RunDirectory(tmp_path) as directory:
        surroundings.note(directory)
        changed = {"numpy": "9.9", "threads within operations": "99"}
        other = {**environment.numerics(), **changed, "new": "here"}
        monkeypatch.setattr(environment, "numerics", lambda: other)
        for _ in range(2):
            surroundings.note(directory)
        (record,) = caplog.records
        message = record.getMessage()
        assert "\n" not in message
        for text in ("before, 9.9 now", "before, 99 now", "new none before, here now"):
            assert text in message
        assert "keras" not in message
        harmless = {**other, "threads between operations": "99"}
        monkeypatch.setattr(environment, "numerics", lambda: harmless)
        surroundings.note(directory)
        assert len(caplog.records) == 1


def test_a_worker_that_only_reads_says_nothing(tmp_path, caplog):
    with RunDirectory(tmp_path) as directory:
        directory.commit(metadata={"surroundings": {"numpy": "0.1"}})
    surroundings.note(ReadOnlyDirectory(tmp_path))
    assert not caplog.text


def test_threads_are_set_before_tensorflow_starts():
    tf.constant(0)
    with pytest.raises(InputError, match="--threads=1023 must be set before TensorFlow starts"):
        strategies.start(
            "one",
            virtual_devices=None,
            worker_timeout=1.0,
            batch_size=1,
            evenly=False,
            jit=False,
            threads=1023,
        )
