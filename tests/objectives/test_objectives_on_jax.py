"""The same losses and gradients with Keras on JAX."""

import jax_process
import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf import objectives

PROGRAM = """
import json, sys
import jax, numpy as np
from ban_tf import objectives
batch = json.loads(sys.argv[1])
labels = np.array(batch["labels"])
teacher, student = np.float32(batch["teacher"]), np.float32(batch["student"])
def total(name, logits, step):
    losses = objectives.get(name)(labels, teacher, logits, seed=jax.numpy.array([7, step]))
    return losses.sum(), losses
found = {}
for name in batch["names"]:
    step = jax.jit(jax.grad(lambda z, step: total(name, z, step), has_aux=True))
    gradient, losses = step(student, 0)
    found[name] = {"gradient": gradient.tolist(), "losses": losses.tolist()}
    found[name]["next"] = step(student, 1)[1].tolist()
print(json.dumps(found))
"""


@pytest.mark.nightly
@pytest.mark.slow
@jax_process.needed
def test_losses_and_gradients_are_those_of_tensorflow():
    assert keras.backend.backend() == "tensorflow"
    random = np.random.default_rng(0)
    teacher, student = random.normal(size=(2, 4, 3, 5)).astype("float32")
    labels = random.integers(0, 5, (4, 3))
    names = [name for name in objectives.OBJECTIVES if name != "bounded"]  # its labels are values
    batch = {"labels": labels, "teacher": teacher, "student": student}
    batch = {key: value.tolist() for key, value in batch.items()} | {"names": names}
    found = jax_process.run(PROGRAM, batch)
    for name in names:
        # The draws of the two backends differ; that they are fresh each step does not.
        assert (found[name]["losses"] != found[name]["next"]) == (name == "dkpp")
        if name == "dkpp":
            continue
        logits = tf.constant(student)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = objectives.get(name)(labels, teacher, logits)
        np.testing.assert_allclose(found[name]["losses"], losses, atol=1e-5, rtol=1e-5)
        gradient = tape.gradient(losses, logits)
        np.testing.assert_allclose(found[name]["gradient"], gradient, atol=1e-5, rtol=1e-4)
