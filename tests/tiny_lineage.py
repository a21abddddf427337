"""A lineage that trains in a moment and has all that makes resuming hard, for tests of that.

Batch normalization, dropout, momentum, permutations, another order in each epoch, and weights
chosen by validation; and a callback that interrupts it.
"""

import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf.system.signals import Interrupted

EPOCHS, STEPS, BATCH = 2, 3, 8
X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 6)).astype("float32")
Y = X[:, :3].argmax(-1)
VALIDATION = (X[:12], Y[:12])


def build():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )


def batches_of(generation, epoch, step):
    """Another order in each epoch of each generation, from any step on."""
    rows = np.concatenate(
        [
            np.random.default_rng([generation, number]).permutation(len(X)).reshape(STEPS, BATCH)
            for number in range(epoch, 3 * EPOCHS)
        ]
    )[step:]
    return tf.data.Dataset.from_tensor_slices((X[rows], Y[rows]))


def optimizer():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def make_lineage(directory, **changes):
    arguments = {"generations": 1, "objective": "dkpp", "keep": "best", "directory": directory}
    return ban_tf.Lineage(build, **{**arguments, **changes})


def fit(lineage, **changes):
    arguments = {
        "epochs": EPOCHS,
        "steps_per_epoch": STEPS,
        "validation_data": VALIDATION,
        "validation_batch_size": 6,
        "compile": {"optimizer": optimizer, "metrics": ["accuracy"], "run_eagerly": True},
    }
    return lineage.fit(batches_of, **{**arguments, **changes})


def compiled(**changes):
    return {
        "compile": {
            "optimizer": optimizer,
            "metrics": ["accuracy"],
            "run_eagerly": True,
            **changes,
        }
    }


def run_once(directory, **changes):
    """What one process does: takes the directory, trains, and lets go of it."""
    lineage = make_lineage(directory)
    with lineage.directory:
        return fit(lineage, **changes)


def interrupted_twice(directory):
    """Interrupts a run within an epoch, and at the end of one."""
    for sent in (4, 2):
        with pytest.raises(Interrupted):
            run_once(directory, callbacks=[Signal("step", sent)])


def assert_equal(ours, theirs):
    assert len(ours.generations) == len(theirs.generations)
    for a, b in zip(ours.generations, theirs.generations, strict=True):
        assert a.history == b.history
        assert a.taught_by == b.taught_by
        for left, right in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(left, right)


class Signal(keras.callbacks.Callback):
    """Sends a signal to this very process at one moment of one generation."""

    def __init__(self, moment, count, number=signal.SIGINT):
        super().__init__()
        self.moment, self.left, self.number = moment, count, number

    def _at(self, moment):
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)

    def on_train_batch_begin(self, batch, logs=None):
        self._at("step")

    def on_test_batch_begin(self, batch, logs=None):
        self._at("validation")

    def on_epoch_end(self, epoch, logs=None):
        self._at("epoch end")
