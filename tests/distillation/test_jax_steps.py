"""The compiled JAX step takes the teacher's weights as arguments, in a process of its own."""

import jax_process
import numpy as np

PROGRAM = """
import json
import keras, numpy as np
import ban_tf
random = np.random.default_rng(0)
x, y = random.normal(size=(16, 6)).astype("float32"), random.integers(0, 4, 16)
traced = []

class Counting(keras.layers.Dense):
    def call(self, inputs):
        traced.append(self.name)
        return super().call(inputs)

def network(seed, layer=keras.layers.Dense):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), layer(4)])

def compiled(student, teacher, objective="kd+labels"):
    model = ban_tf.BornAgainModel(student, teacher, objective)
    model.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"])
    return model

def fit(model):
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    return {name: values[0] for name, values in history.items()}

found = {}
teacher, student = network(1), network(0, Counting)
model = compiled(student, teacher)
fit(model)
model.evaluate(x, y, verbose=0)
start = student.get_weights()
teacher.set_weights(network(2).get_weights())
before = len(traced)
found["second fit"] = fit(model)
found["evaluated"] = model.evaluate(x, y, verbose=0, return_dict=True)
found["traces"] = len(traced) - before

fresh = network(0)
fresh.set_weights(start)
other = compiled(fresh, network(2))
found["fresh fit"] = fit(other)
found["fresh evaluated"] = other.evaluate(x, y, verbose=0, return_dict=True)

# A frozen layer of both: its weights are part of the student's state while that trains.
backbone = keras.layers.Dense(5, activation="tanh", trainable=False)
def headed(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Dense(4)(backbone(inputs)))
shared = compiled(headed(2), headed(1), "kd")
found["expected"] = float(shared.compute_loss(x, y, shared.student(x)))
found["shared"] = float(shared.train_on_batch(x, y)[0])
print(json.dumps(found))
"""


@jax_process.needed
def test_the_step_is_compiled_once_and_follows_the_teachers_weights():
    found = jax_process.run(PROGRAM)
    assert found["traces"] == 0
    for name in ("fit", "evaluated"):
        second, fresh = found["second fit" if name == "fit" else name], found[f"fresh {name}"]
        assert second.keys() == fresh.keys()
        np.testing.assert_allclose(list(second.values()), list(fresh.values()), rtol=1e-5)
    np.testing.assert_allclose(found["shared"], found["expected"], rtol=1e-5)
