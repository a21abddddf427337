"""Compiled JAX steps: the teacher's weights are arguments, and states of recurrent layers are kept.

The program runs in a process of its own.
"""

import jax_process
import numpy as np
import pytest

pytestmark = pytest.mark.nightly

# Runs under both backends.
STATEFUL = """
import keras, numpy as np
import ban_tf
from ban_tf.compat import compiled as programs, recurrent_states

def network_of_states(seed):
    words = keras.Input((5,), batch_size=2, dtype="int32")
    x = keras.layers.Embedding(7, 4)(words)
    x = keras.layers.LSTM(4, return_sequences=True, stateful=True)(x)
    model = keras.Model(words, keras.layers.Dense(7)(x))
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model

def with_states():
    words = np.random.default_rng(0).integers(0, 7, (20, 6))
    x, y = words[:, :5], words[:, 1:]
    model = ban_tf.BornAgainModel(network_of_states(1), network_of_states(2), "kd+labels")
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    trained = model.get_weights()
    losses = [model.evaluate(x, y, batch_size=2, verbose=0) for _ in range(2)]
    read = programs.inference(lambda batch: model.student(batch, training=False), [model.student])
    predicted = [read(x[:2]) for _ in range(2)]
    states = [np.array(state) for state in recurrent_states.variables(model)]
    return [array.tolist() for array in (*trained[:5], *map(np.array, losses), *predicted, *states)]
"""

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
found["with states"] = with_states()

held = model.student.trainable_variables[0].value
model.train_on_batch(x, y)
found["donated"] = held.is_deleted()

def of_two_outputs():
    inputs = keras.Input((6,))
    return keras.Model(inputs, [keras.layers.Dense(4, name=name)(inputs) for name in "ab"])

unlabelled = ban_tf.BornAgainModel(of_two_outputs(), of_two_outputs(), "kd")
unlabelled.compile("sgd", [keras.losses.SparseCategoricalCrossentropy(from_logits=True)] * 2)
found["unlabelled"] = list(unlabelled.fit(x, verbose=0).history)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    return jax_process.run(STATEFUL + PROGRAM)


@jax_process.needed
def test_the_step_is_compiled_once_and_follows_the_teachers_weights(found):
    assert found["traces"] == 0
    for name in ("fit", "evaluated"):
        second, fresh = found["second fit" if name == "fit" else name], found[f"fresh {name}"]
        assert second.keys() == fresh.keys()
        np.testing.assert_allclose(list(second.values()), list(fresh.values()), rtol=1e-5)
    np.testing.assert_allclose(found["shared"], found["expected"], rtol=1e-5)


@jax_process.needed
def test_the_memory_of_weights_is_given_to_the_step(found):
    assert found["donated"]


@jax_process.needed
def test_a_student_of_several_losses_needs_no_labels(found):
    assert sorted(found["unlabelled"]) == ["loss", "teacher_agreement", "teacher_loss"]


@jax_process.needed
def test_states_of_student_and_teacher_are_carried_from_batch_to_batch_as_on_tensorflow(found):
    names = {}
    exec(STATEFUL, names)
    expected = names["with_states"]()
    assert len(expected) == len(found["with states"]) == 5 + 2 + 2 + 4
    for array, same in zip(found["with states"], expected, strict=True):
        np.testing.assert_allclose(array, same, atol=1e-5)
    *_, loss, again, first, second = expected[:9]
    assert loss != again and first != second  # states matter
