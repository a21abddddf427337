"""A born-again generation with Keras on JAX, in a process of its own."""

import jax_process
import numpy as np
import pytest
from twins import softmax

PROGRAM = """
import json, sys
import keras, numpy as np
import ban_tf
random = np.random.default_rng(0)
x, y = random.normal(size=(32, 6)).astype("float32"), random.integers(0, 4, 32)

def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    )

def linear(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])

def born_again(*models, rate=0.5, **options):
    model = ban_tf.BornAgainModel(*models, **options)
    model.compile(keras.optimizers.SGD(rate), metrics=["accuracy"])
    return model

found = {"backend": keras.backend.backend(), "x": x.tolist()}
student, teacher = linear(0), linear(1)
found["before"] = student.get_weights()[0].tolist()
found["teacher"] = teacher.predict(x, verbose=0).tolist()
born_again(student, teacher, objective="kd").fit(x, y, batch_size=32, shuffle=False, verbose=0)
found["after"] = student.get_weights()[0].tolist()

student, teacher = network(0), network(1)
model = born_again(student, teacher, objective="kd+labels")
found["history"] = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
found["evaluations"] = [model.evaluate(x, y, verbose=0, return_dict=True) for _ in range(2)]
found["teacher_moved"] = bool(np.any(teacher.layers[0].moving_mean))
found["student_moved"] = bool(np.any(student.layers[0].moving_mean))
still = born_again(linear(0), linear(1), objective="dkpp", rate=0.0)
found["draws"] = [float(still.train_on_batch(x, y)[0]) for _ in range(3)]
def measure(model):
    return model.evaluate(x, y, verbose=0, return_dict=True)["teacher_loss"]
still = born_again(linear(0), teacher := linear(1), rate=0.0)
found["taught"] = [measure(still)]
teacher.set_weights(linear(2).get_weights())
found["taught"] += [measure(still), measure(born_again(linear(0), linear(2)))]

class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(4)

    def call(self, inputs):
        return self.last(inputs)

def refusal(labels, objective="kd+labels"):
    try:
        born_again(Subclass(), linear(1), objective=objective).fit(x, labels, verbose=0)
    except ValueError as error:
        return str(error)
found["refused"] = [
    refusal(y + np.int64(2**32)), refusal(y.astype("uint32") - np.uint32(1), "cwtm"), refusal(y)
]

lineage = ban_tf.Lineage(lambda: linear(0), generations=2, objective="kd")
lineage.fit(x, y, epochs=2, compile={"optimizer": "sgd"})
found["generations"] = [row["generation"] for row in lineage.history]
found["sums"] = lineage.ensemble().predict(x, verbose=0).sum(axis=-1).tolist()
print(json.dumps(found))
"""


@pytest.mark.nightly
@jax_process.needed
def test_a_generation_is_born_again_on_jax():
    found = jax_process.run(PROGRAM)
    assert found["backend"] == "jax"
    # One step is the hand-written gradient.
    x, before = np.array(found["x"]), np.array(found["before"])
    gradient = x.T @ (softmax(x @ before) - softmax(found["teacher"])) / len(x)
    np.testing.assert_allclose(found["after"], before - 0.5 * gradient, atol=1e-5)
    history = found["history"]
    np.testing.assert_allclose(
        np.add(history["label_loss"], history["teacher_loss"]), history["loss"], rtol=1e-5
    )
    assert found["evaluations"][0] == found["evaluations"][1]
    assert found["student_moved"] and not found["teacher_moved"]
    assert len(set(found["draws"])) == 3  # fresh permutations each step
    assert found["taught"][0] != found["taught"][1] == pytest.approx(found["taught"][2])
    wide, unsigned, fine = found["refused"]
    assert wide.startswith("`y` holds 429496729") and "check_data=False" in wide
    assert unsigned.startswith("`y` holds 4294967295") and fine is None
    assert found["generations"] == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(found["sums"], 1.0, rtol=1e-5)
