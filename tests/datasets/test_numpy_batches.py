"""Batches that are prepared while the one before is in use."""

import gc
import threading
import traceback

import pytest

from ban_tf.datasets.numpy_batches import NumpyBatches


def test_the_following_batch_is_prepared_while_one_is_in_use():
    prepared = {number: threading.Event() for number in range(3)}

    def batch(number):
        prepared[number].set()
        return number

    batches = iter(NumpyBatches(batch, 3))
    assert next(batches) == 0
    assert prepared[1].wait(timeout=60)
    assert not prepared[2].is_set()  # one ahead, and no more
    assert list(batches) == [1, 2]


def test_batches_are_the_same_in_any_order_and_prepared_one_at_a_time():
    running = threading.Lock()

    def batch(number):
        assert running.acquire(blocking=False)
        running.release()
        return 10 * number

    batches = NumpyBatches(batch, None)
    numbers = [0, 1, 2, 7, 7, 3, 4, 0]
    assert [batches[number] for number in numbers] == [10 * number for number in numbers]


def test_an_error_comes_with_its_batch_and_its_own_traceback():
    def batch(number):
        if number == 1:
            raise OSError("image-7.png is damaged")
        return number

    batches = iter(NumpyBatches(batch, None))
    assert next(batches) == 0
    with pytest.raises(OSError, match="image-7") as caught:
        next(batches)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "batch"


def test_the_thread_ends_when_nobody_has_the_batches_any_more():
    threads = []
    batches = NumpyBatches(lambda number: threads.append(threading.current_thread()), None)
    batches[0]
    del batches
    gc.collect()
    threads[0].join(timeout=60)
    assert not threads[0].is_alive()
