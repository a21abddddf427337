"""Models whose outputs are nested: dictionaries of tuples, named tuples, one output twice."""

import collections

import keras
import numpy as np
import pytest
from keras import layers
from twins import softmax

import ban_tf

CLASSES = 3
Pair = collections.namedtuple("Pair", ["first", "second"])

STRUCTURES = {
    "dictionary of a tuple": lambda a, b: {"p": (a, b), "q": b},
    "list of a list": lambda a, b: [[a, b], b],
    "named tuple": lambda a, b: Pair(a, {"inner": b}),
    "one output twice": lambda a, b: [a, b, b],
}


def network(structure, seed=0, **last):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    a = layers.Dense(CLASSES, name="a", **last)(inputs)
    b = layers.Dense(CLASSES, name="b", **last)(inputs)
    return keras.Model(inputs, STRUCTURES[structure](a, b))


def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(16, 5)).astype("float32"), generator.normal(size=(16, CLASSES))


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_without_a_teacher_they_train_as_in_plain_keras(structure):
    x, values = data()
    y = STRUCTURES[structure](values, -values)
    loss = keras.tree.map_structure(lambda _: "mse", y)
    histories = []
    for wrap in (lambda model: model, ban_tf.BornAgainModel):
        model = wrap(network(structure))
        eager = structure != "one output twice"
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=eager)
        fit = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0)
        histories.append(fit.history)
    assert histories[0] == histories[1]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("last", [{}, {"activation": "softmax"}], ids=["logits", "softmax"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_output_learns_from_the_teachers(structure, last):
    x, _ = data()
    student, teacher = network(structure, 0, **last), network(structure, 1, **last)
    expected = 0.0
    theirs, ours = (keras.tree.flatten(net(x)) for net in (teacher, student))
    for t, s in zip(theirs, ours, strict=True):
        t, s = (np.float64(item if last else softmax(item)) for item in (t, s))
        expected += np.mean(np.sum(t * (np.log(t) - np.log(s)), axis=-1))
    model = ban_tf.BornAgainModel(
        student, teacher, "kd", label_weight=0.0, output_kind="categorical"
    )
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=bool(last))
    logs = model.train_on_batch(x, None, return_dict=True)
    np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-4)
    answer = model.predict(x, verbose=0)
    keras.tree.assert_same_structure(answer, student(x))
