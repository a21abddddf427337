"""Commands as processes of their own, and what they leave behind."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import warm

from ban_tf.system.ports import free_ports
from tests.run_weights import assert_same_weights

HERE = pathlib.Path(__file__).parent  # where --arch=convolutions:build is found
# A training of images that ends alike on all kinds of devices.
EPOCHS = 6
SETTINGS = (
    *("--arch=convolutions:build", "--train_examples=640", "--gens=1", f"--epochs={EPOCHS}"),
    *("--objective=cwtm", "--learning_rate=0.02", "--augment=yes"),
    *("--progress=lines", "--noreport"),
)


def start(module, *arguments, **environment):
    """Starts a command in a process that need not import TensorFlow again."""
    return warm.start([sys.executable, "-m", module, *arguments], env=_environment(environment))


def workers(*arguments):
    """Starts two workers as `launch` does, but with nobody between them and the test."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    tasks = [{"type": "worker", "index": index} for index in (0, 1)]
    configs = [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]
    return [start("ban_tf.main", *arguments, TF_CONFIG=config) for config in configs]


def launch(*arguments):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "ban_tf", "launch", "--workers=2", "--grace=60", "--"),
            *arguments,
        ],
        env=_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _environment(further):
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **further}


def ended(process):
    """Waits until a process ends; returns its exit code and all that it said."""
    said = "".join(filter(None, process.communicate()))
    return process.returncode, said


def finished(process):
    code, said = ended(process)
    assert code == 0, said[-3000:]
    return said


def said_until(process, pattern):
    """Reads what a process says up to a line that has the pattern."""
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern} was never said: {said[-3000:]}")


def assert_same_run(one, other, rtol=2e-4, atol=2e-5):
    """Weights are the same within tolerances, and all that is in the history to a thousandth."""
    assert_same_weights(one, other, (0, 1), rtol, atol)
    for generation in (0, 1):
        np.testing.assert_allclose(rows(one, generation), rows(other, generation), rtol=1e-3)


def rows(directory, generation):
    return np.genfromtxt(directory / f"generation-{generation}/history.csv", delimiter=",")[1:]
