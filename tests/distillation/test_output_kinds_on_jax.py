"""Output kinds with Keras on JAX, in a process of its own."""

import jax_process
import numpy as np
import pytest

pytestmark = pytest.mark.nightly

PROGRAM = """
import json
import keras, numpy as np
from keras import layers, ops
import ban_tf
x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")

class Subclass(keras.Model):
    def __init__(self, seed, last):
        super().__init__()
        keras.utils.set_random_seed(seed)
        self.dense = layers.Dense(3)
        self.last = last
    def call(self, inputs):
        return self.last(self.dense(inputs))

found = {}
def measure(name, last, loss, y, **options):
    student, teacher = Subclass(0, last), Subclass(1, last)
    outputs = [model.predict(x, verbose=0).tolist() for model in (student, teacher)]
    model = ban_tf.BornAgainModel(student, teacher, "kd", **options)
    model.compile(keras.optimizers.SGD(0.0), loss)
    history = model.fit(x, y, batch_size=16, verbose=0).history
    found[name] = [*outputs, history["teacher_loss"][0], "teacher_agreement" in history]

y = np.random.default_rng(1).normal(size=(16, 3)).astype("float32")
measure("values", lambda z: z, "mse", y)
measure("softmax", ops.softmax, "categorical_crossentropy", np.eye(3)[np.arange(16) % 3])
measure("sigmoid", ops.sigmoid, "binary_crossentropy", (y > 0).astype("float32"))
measure("no loss", ops.softmax, None, np.arange(16) % 3)
measure("log of softmax", lambda z: ops.log(ops.softmax(z)), None, np.arange(16) % 3)
measure("log-softmax", ops.log_softmax, None, np.arange(16) % 3)
try:
    measure("doubt", lambda z: z, lambda a, b: ops.mean(b, axis=-1), y)
except ValueError as error:
    found["doubt"] = str(error)
print(json.dumps(found))
"""


@jax_process.needed
def test_the_ends_of_subclasses_are_seen_on_jax_too():
    found = jax_process.run(PROGRAM)
    assert "`output_kind`" in found.pop("doubt")
    for name, (student, teacher, loss, agrees) in found.items():
        s, t = np.array(student), np.array(teacher)
        if name == "values":
            expected = (s - t) ** 2
        elif name == "sigmoid":
            expected = t * np.log(t / s) + (1 - t) * np.log((1 - t) / (1 - s))
        elif name.startswith("log"):
            expected = np.sum(np.exp(t) * (t - s), axis=-1)
        else:
            expected = np.sum(t * np.log(t / s), axis=-1)
        np.testing.assert_allclose(loss, expected.mean(), rtol=1e-4)
        assert agrees == (name != "values")
