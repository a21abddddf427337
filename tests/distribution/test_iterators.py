"""Iterators have no threads for tuning, for which whoever ends them would have to wait."""

import pathlib
import sys

import pytest
import warm

PROGRAM = """
import pathlib
import tensorflow as tf
from ban_tf.compat import device_iterators, iterators

def threads(iterate):
    counts = []
    for _ in range(2):  # the first one makes threads that stay
        before = len(list(pathlib.Path("/proc/self/task").iterdir()))
        iterator = iterate()
        next(iterator)
        counts.append(len(list(pathlib.Path("/proc/self/task").iterdir())) - before)
        del iterator
    return counts[-1]

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
data = tf.data.Dataset.range(100).batch(4).prefetch(2)
tuned = threads(lambda: iter(data))
print(tuned - threads(lambda: iter(iterators.untuned(data))))
tuned = threads(lambda: iter(strategy.experimental_distribute_dataset(data)))
device_iterators.end_at_once()
print(tuned - threads(lambda: iter(strategy.experimental_distribute_dataset(data))))
"""


@pytest.mark.nightly
@pytest.mark.skipif(not pathlib.Path("/proc/self/task").is_dir(), reason="no /proc")
def test_an_iterator_has_a_thread_for_tuning_unless_it_is_told_to_have_none():
    """Fails when TensorFlow has no such threads any more, or names what is replaced otherwise."""
    done = warm.run([sys.executable, "-c", PROGRAM], check=True)
    assert done.stdout.split() == ["1", "3"]  # on one device, and on two
