"""A student's own code, and projections, with Keras on JAX, in a process of its own."""

import jax_process
import numpy as np
import pytest

pytestmark = pytest.mark.nightly

PROGRAM = """
import json
import keras, numpy as np
import ban_tf
from keras import ops
random = np.random.default_rng(0)
x, y = random.normal(size=(32, 6)).astype("float32"), random.integers(0, 4, 32)
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

class Student(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(4, kernel_regularizer="l2")
        self.drop = keras.layers.Dropout(0.1, seed=0)
        self.size = keras.metrics.Mean(name="size")
    def call(self, inputs, training=None):
        return self.drop(self.last(inputs), training=training)
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        size = ops.mean(ops.square(y_pred))
        self.size.update_state(size)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training) + size
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {**super().compute_metrics(x, y, y_pred, sample_weight), "constant": 7.0}
    def predict_step(self, state, data):
        outputs, others = super().predict_step(state, data)
        return 100.0 * outputs, others

def student():
    keras.utils.set_random_seed(0)
    model = Student()
    model(x)
    return model

def train(wrap):
    model = wrap(student())
    model.compile(keras.optimizers.SGD(0.1), cross_entropy, metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
    return {"history": history, "predicted": model.predict(x, verbose=0).tolist()}

found = {"plain": train(lambda model: model), "ours": train(ban_tf.BornAgainModel)}

class Scaled(keras.distillation.DistillationLoss):
    def __init__(self):
        self.scale = [keras.Variable(0.5, name="scale")]
    def compute_loss(self, theirs, ours, **options):
        return ops.mean(ops.square(self.scale[0] * ours - theirs))

def linear(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])

loss, models = Scaled(), (linear(0), linear(1))
found["outputs"] = [model.predict(x, verbose=0).tolist() for model in models]
model = ban_tf.BornAgainModel(*models, distillation_losses=loss)
model.compile(keras.optimizers.SGD(0.1))
model.fit(x, y, batch_size=32, verbose=0)
found["scale"] = float(loss.scale[0])
taught = student()
model = ban_tf.BornAgainModel(taught, linear(1), "dkpp", distillation_losses=Scaled())
model.compile(keras.optimizers.SGD(0.1), cross_entropy)
found["taught"] = model.fit(x, y, verbose=0).history
found["taught_predicts"] = model.predict(x, verbose=0).tolist()
found["taught_outputs"] = np.array(taught(x)).tolist()
print(json.dumps(found))
"""


@jax_process.needed
def test_own_code_and_projections_on_jax():
    found = jax_process.run(PROGRAM)
    assert found["plain"] == found["ours"]
    assert found["ours"]["history"]["constant"] == [7.0, 7.0]
    ours, theirs = (np.array(entry) for entry in found["outputs"])
    gradient = np.mean(2 * (0.5 * ours - theirs) * ours)
    np.testing.assert_allclose(found["scale"], 0.5 - 0.1 * gradient, rtol=1e-5)
    assert {"size", "label_loss", "teacher_loss", "distillation_loss"} < set(found["taught"])
    np.testing.assert_allclose(
        found["taught_predicts"], 100 * np.array(found["taught_outputs"]), rtol=1e-5
    )
