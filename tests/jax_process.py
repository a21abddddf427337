"""Programs in a process of their own whose backend is JAX."""

import importlib.util
import json
import os
import sys

import pytest
import warm

needed = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")

# Begins a program in which nothing can import TensorFlow.
WITHOUT_TENSORFLOW = """
import sys
class Hidden:
    def find_spec(self, name, *rest):
        if name.partition(".")[0].startswith("tensorflow"):
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
sys.meta_path.insert(0, Hidden())
"""


def start(program, argument=None):
    """Starts a program, and returns it as `warm.start` does; its argument, if any, becomes JSON."""
    arguments = [] if argument is None else [json.dumps(argument)]
    return warm.start(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )


def ended(process):
    """Waits for a program, and returns what it printed in its last line, from JSON."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def run(program, argument=None):
    """Returns what a program prints in its last line, from JSON; its argument is as for `start`."""
    return ended(start(program, argument))
