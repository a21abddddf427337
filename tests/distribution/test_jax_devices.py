"""The library on several devices of JAX, in one process and in two, against one device."""

import jax_process
import numpy as np
import pytest

from ban_tf.system.ports import free_ports

# As is the command line's test on two devices.
pytestmark = [pytest.mark.nightly, jax_process.needed]

# Two generations. Batches of eight rows; of each, a process has its part.
TRAINING = """
import json, sys
import jax

def trained(part=0, parts=1):
    import keras, numpy as np
    import ban_tf

    def network():
        layers = [keras.layers.BatchNormalization(), keras.layers.Dense(4)]
        return keras.Sequential([keras.Input((6,)), *layers])

    random = np.random.default_rng(0)
    x, y = random.normal(size=(16, 6)).astype("float32"), random.integers(0, 4, 16)
    rows = np.arange(16).reshape(2, parts, -1)[:, part].reshape(-1)
    lineage = ban_tf.Lineage(network, generations=1, seed=1)
    settings = {"batch_size": 8 // parts, "shuffle": False, "verbose": 0}
    lineage.fit(x[rows], y[rows], compile={"optimizer": "sgd"}, **settings)
    return {
        "history": [list(generation.history[-1].values()) for generation in lineage.generations],
        "weights": [weight.tolist() for weight in lineage.generations[1].weights],
        "devices": len(lineage._trainers.any_model.optimizer.iterations.value.sharding.device_set),
    }
"""
DEVICES = """
jax.config.update("jax_num_cpu_devices", 2)
import keras
one = trained()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
print(json.dumps([one, trained()]))
"""
PROCESSES = """
rank, port = json.loads(sys.argv[1])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
import keras
data = keras.distribution.DataParallel(auto_shard_dataset=False)
keras.distribution.set_distribution(data)
keras.utils.set_random_seed(0)  # JAX compares what each process gives the devices of all
print(json.dumps(trained(rank, 2)))
"""
# Masks with pixels of no class. In float64, and without batch normalization, whose statistics Keras
# computes in float32, differences are those of an algorithm.
MASKS = """
import json
import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
import keras, numpy as np
keras.config.set_floatx("float64")
import ban_tf

def network(seed):
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="tanh")
    return keras.Sequential([keras.Input((6, 10, 3)), hidden, keras.layers.Conv2D(4, 1)])

random = np.random.default_rng(0)
x, y = random.normal(size=(24, 6, 10, 3)), random.integers(0, 5, (24, 6, 10))
y[y == 4] = 255

def trained():
    model = ban_tf.BornAgainModel(network(0), network(1), "kd+labels")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile(optimizer=keras.optimizers.SGD(0.5, momentum=0.9), loss=loss)
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    return [np.asarray(weight).tolist() for weight in model.student.weights]

one = trained()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
print(json.dumps([one, trained()]))
"""


@pytest.fixture(scope="module")
def on_one_and_two():
    return jax_process.run(TRAINING + DEVICES)


def _check(found, expected):
    assert (expected["devices"], found["devices"]) == (1, 2)
    for name in ("history", "weights"):
        for row, same in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(row, same, rtol=1e-4, atol=1e-5)


def test_generations_on_two_devices_are_those_of_one(on_one_and_two):
    one, two = on_one_and_two
    _check(two, one)


def test_masks_on_two_devices_differ_from_one_by_rounding_alone():
    one, two = jax_process.run(MASKS)
    for found, expected in zip(two, one, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_generations_of_two_processes_are_those_of_one_device(on_one_and_two):
    (port,) = free_ports(1)
    started = [jax_process.start(TRAINING + PROCESSES, [rank, port]) for rank in range(2)]
    for process in started:
        _check(jax_process.ended(process), on_one_and_two[0])
