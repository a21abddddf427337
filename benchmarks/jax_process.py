"""A training step in stock Keras layers on JAX, in a process of its own that takes its turn.

A process has one backend of Keras, so that contenders on TensorFlow and on JAX are two processes.
This one trains by `fit`, waits for a line before each step, and answers when the step is done.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable

STEP = """
import json, sys
from benchmarks import jax_process
jax_process.train(**json.loads(sys.argv[1]))
"""


def step(network: str, policy: str, batch_size: int) -> Callable[[], None]:
    """Starts the process, and returns a function that has it take one step.

    Args:
        network: The network's name.
        policy: The dtype policy.
        batch_size: Examples in a step.

    Raises:
        RuntimeError: The process has ended; its messages are on the screen.
    """
    wanted = {"network": network, "policy": policy, "batch_size": batch_size}
    process = subprocess.Popen(
        [sys.executable, "-c", STEP, json.dumps(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )

    def take() -> None:
        print(file=process.stdin, flush=True)
        if not process.stdout.readline():
            raise RuntimeError(f"The step of {network} on JAX ended with code {process.wait()}.")

    return take


def train(network: str, policy: str, batch_size: int) -> None:
    """Trains in the process that `step` starts, a step for each line that comes in."""
    import keras

    from benchmarks import training

    class Turns(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if not sys.stdin.readline():  # the other process has ended
                sys.exit()

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])  # waits for the end of the step
            print("done", flush=True)

    model = training.stock_model(training.build(network, policy))
    batch = training.random_batch(batch_size)
    batches = (batch for _ in itertools.count())
    model.fit(batches, steps_per_epoch=sys.maxsize, shuffle=False, callbacks=[Turns()], verbose=0)
