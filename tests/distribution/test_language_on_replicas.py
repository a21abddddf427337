"""Language models on several replicas: real processes that read a text's streams between them."""

import re
import signal

import numpy as np
import pytest

from ban_tf.datasets import text_batches
from tests.distribution import processes
from tests.distribution.processes import ended, finished, said_until

SETTINGS = (
    *("--arch=lstm-1-8", "--batch_size=8", "--unroll=5", "--dropout=0", "--learning_rate=2"),
    *("--gens=1", "--epochs=4", "--objective=kd+labels", "--checkpoint=last"),
    *("--checkpoint_steps=5", "--progress=lines", "--noreport"),
)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A text in which each word depends on the one before it."""
    generator = np.random.default_rng(0)
    chances = generator.dirichlet(np.full(20, 0.1), size=20)
    word, lines = 0, []
    for _ in range(150):
        line = []
        for _ in range(10):
            word = generator.choice(20, p=chances[word])
            line.append(f"word{word}")
        lines.append(" ".join(line))
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(words, directory, *flags):
    return (*SETTINGS, f"--dataset=text:{words}", f"--workdir={directory}", *flags)


@pytest.fixture(scope="module")
def one_device(words, tmp_path_factory):
    directory = tmp_path_factory.mktemp("one") / "run"
    finished(processes.start("ban_tf.main", *settings(words, directory, "--strategy=one")))
    return directory


def assert_same_run(one, other):
    processes.assert_same_run(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.nightly
def test_two_replicas_train_the_run_of_one_device(words, one_device, tmp_path):
    """Also with an analysis and a profile, of which one of them takes care."""
    flags = ("--virtual_devices=2", "--analyse", "--profile")
    said = finished(processes.start("ban_tf.main", *settings(words, tmp_path / "run", *flags)))
    assert "2 replica(s) of MirroredStrategy" in said
    assert_same_run(one_device, tmp_path / "run")
    assert (tmp_path / "run" / "analysis.png").exists()
    assert list((tmp_path / "run" / "tensorboard" / "profile").rglob("*.xplane.pb"))


@pytest.mark.nightly
def test_workers_that_stop_within_an_epoch_carry_on_with_the_states_of_all(
    words, one_device, tmp_path
):
    workers = processes.workers(*settings(words, tmp_path / "run"))
    said_until(workers[0], r"generation 1/1 +epoch 1/4")
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        code, said = ended(worker)
        assert code == 128 + signal.SIGTERM, said
        assert re.search(r"up to generation 1, epoch \d(?: and \d+ steps of the next)?;", said), (
            said
        )
    for worker in processes.workers(*settings(words, tmp_path / "run")):
        finished(worker)
    assert_same_run(one_device, tmp_path / "run")


@pytest.mark.nightly
def test_rows_that_do_not_divide_are_refused(words, tmp_path):
    flags = ("--virtual_devices=3",)
    process = processes.start("ban_tf.main", *settings(words, tmp_path / "run", *flags))
    code, said = ended(process)
    assert code == 2
    assert "--batch_size=8 is that of all replicas, and must be a multiple" in said


@pytest.mark.parametrize(
    "batches", [text_batches.training_batches, text_batches.evaluation_batches]
)
def test_parts_of_a_batch_are_consecutive_streams_of_it(batches):
    tokens = np.arange(131, dtype=np.int32)
    whole = list(batches(tokens, 6, 5).as_numpy_iterator())
    first, rest = (
        list(batches(tokens, 6, 5, num_shards=3, shard_range=mine).as_numpy_iterator())
        for mine in (range(1), range(1, 3))
    )
    assert len(rest) == 2 * len(first) == 2 * len(whole)
    for step, batch in enumerate(whole):
        parts = (first[step], rest[2 * step], rest[2 * step + 1])
        for whole_array, *arrays in zip(batch, *parts, strict=True):
            np.testing.assert_array_equal(np.concatenate(arrays), whole_array)


def test_each_part_of_a_batch_has_its_own_rows_of_a_recorded_teacher():
    def read(**share):
        taught = text_batches.training_batches(
            np.arange(131, dtype=np.int32), 6, 5, teacher_logits=lambda rows: rows * 10, **share
        )
        return [labels["teacher_logits"] for _, labels in taught.as_numpy_iterator()]

    whole, last = read(), read(num_shards=3, shard_range=range(2, 3))
    np.testing.assert_array_equal(np.concatenate(whole), np.arange(24) * 10)
    for batch, part in zip(whole, last, strict=True):
        np.testing.assert_array_equal(batch[4:], part)
