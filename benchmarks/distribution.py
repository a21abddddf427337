"""What training on several replicas costs, in time and in bytes.

1. `mirrored` on one device over no strategy: steps of both in turn, in one process.
2. Two workers over loopback over two replicas in one process: each alone, one after the other,
   since a process has one strategy; a replica has as many examples in both.
3. Bytes that the loopback interface carried for a step of two workers, over the model's size.

The student learns from a teacher of its own shape (objective kd).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import ban_tf
from ban_tf import architectures
from ban_tf.system.ports import free_ports
from benchmarks import measuring

_WARM_UP = 3


def _model(network: str) -> ban_tf.BornAgainModel:
    student, teacher = (architectures.build(network, (32, 32, 3), 10) for _ in range(2))
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    return model


def _data(batch_size: int) -> tf.data.Dataset:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(batch_size, 32, 32, 3)).astype("float32")
    y = generator.integers(0, 10, batch_size)
    return tf.data.Dataset.from_tensors((x, y)).repeat()


def _step(strategy: tf.distribute.Strategy, network: str, batch_size: int):
    """Returns what takes one step, and the model."""
    with strategy.scope():
        model = _model(network)
    data = strategy.experimental_distribute_dataset(_data(batch_size))
    model.build_for(data)
    model.make_train_function()
    iterator = iter(data)

    def step() -> None:
        keras.tree.map_structure(np.asarray, model.train_function(iterator))

    return step, model


def one_device(network: str, steps: int, batch_size: int) -> dict:
    """Compares `MirroredStrategy` on one device with none."""
    strategies = {
        "none": tf.distribute.get_strategy(),
        "mirrored": tf.distribute.MirroredStrategy(["CPU:0"]),
    }
    contenders = {
        name: _step(strategy, network, batch_size)[0] for name, strategy in strategies.items()
    }
    seconds = measuring.interleave(contenders, steps)
    return {"mirrored over none": measuring.compare(seconds, "mirrored", "none")}


def _carried() -> int:
    """Bytes that the loopback interface has carried; 0 where the system does not report it."""
    path = pathlib.Path("/sys/class/net/lo/statistics/tx_bytes")
    return int(path.read_text()) if path.exists() else 0


def several(role: str, network: str, steps: int, batch_size: int) -> dict:
    """Times steps as one of several workers, or on two replicas in this process."""
    if role == "worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        processor = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, halves)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    step, model = _step(strategy, network, batch_size)
    for _ in range(_WARM_UP):
        step()
    before, seconds = _carried(), []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    weights = sum(
        int(np.prod(variable.shape)) * 4 for variable in model.student.trainable_variables
    )
    return {
        "milliseconds": 1e3 * float(np.median(seconds)),
        "bytes_a_step": (_carried() - before) / steps,
        "bytes_of_the_weights": weights,
    }


def _started(role: str, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.distribution", f"--role={role}", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def _told(process: subprocess.Popen) -> dict:
    out, _ = process.communicate()
    return json.loads(out.strip().splitlines()[-1])


def workers_over_replicas(arguments: list[str], turns: int) -> dict:
    """Compares two workers over loopback with two replicas in one process, in turns."""
    ratios, last = [], {}
    for _ in range(turns):
        replicas = _told(_started("replicas", arguments, {}))
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
        pair = []
        for index in (0, 1):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            pair.append(_started("worker", arguments, {"TF_CONFIG": json.dumps(config)}))
        last, _ = [_told(entry) for entry in pair]
        ratios.append(last["milliseconds"] / replicas["milliseconds"])
    return {
        "workers over replicas": ratios,
        "bytes a step": last["bytes_a_step"],
        "over the weights": last["bytes_a_step"] / last["bytes_of_the_weights"],
    }


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, steps=20, batch_size=32, turns=2)
    parser.add_argument("--network", default="wrn-16-1", metavar="NAME")
    parser.add_argument("--role", choices=("all", "replicas", "worker"), default="all")
    arguments = parser.parse_args()
    sizes = (arguments.network, arguments.steps, arguments.batch_size)
    if arguments.role != "all":
        print(json.dumps(several(arguments.role, *sizes)), flush=True)
        return
    passed_on = [f"--network={sizes[0]}", f"--steps={sizes[1]}", f"--batch_size={sizes[2]}"]
    results = {
        **one_device(*sizes),
        **workers_over_replicas(passed_on, arguments.turns),
    }
    print(f"mirrored on one device over none: {measuring.as_text(results['mirrored over none'])}")
    several_turns = ", ".join(f"{result:.2f}" for result in results["workers over replicas"])
    print(f"two workers over two replicas in one process, turn by turn: {several_turns}")
    print(f"a step carries {results['over the weights']:.2f} times the bytes of the weights")
    measuring.write(arguments.json, results)


if __name__ == "__main__":
    main()
