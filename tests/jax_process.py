"""Programs in a process of their own whose backend is JAX."""

import importlib.util
import json
import os
import sys

import pytest
import warm

needed = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")


def run(program, argument=None):
    """Returns what a program prints in its last line, from JSON; so is its argument, if any."""
    arguments = [] if argument is None else [json.dumps(argument)]
    process = warm.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])
