"""Commands as processes of their own, and what they leave behind."""

import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np

HERE = pathlib.Path(__file__).parent  # where --arch=small:build is found


def start(module, *arguments, **environment):
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def launch(*arguments):
    return start("ban_tf", "launch", "--workers=2", "--grace=60", "--", *arguments)


def finished(process):
    said, _ = process.communicate()
    assert process.returncode == 0, said[-3000:]
    return said


def said_until(process, pattern):
    """Reads what a process says up to a line that has the pattern."""
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern} was never said: {said[-3000:]}")


def weights(directory, generation):
    return keras.models.load_model(directory / f"generation-{generation}/model.keras").get_weights()


def assert_same_run(one, other, rtol, atol):
    """Weights are the same within tolerances, and all that is in the history to a thousandth."""
    for generation in (0, 1):
        for ours, theirs in zip(weights(one, generation), weights(other, generation), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
        np.testing.assert_allclose(rows(one, generation), rows(other, generation), rtol=1e-3)


def rows(directory, generation):
    return np.genfromtxt(directory / f"generation-{generation}/history.csv", delimiter=",")[1:]
