"""What `fit` may be given, and how examples count."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import (
    CLASSES,
    as_one_hot,
    assert_equal_weights,
    assert_trains_alike,
    data,
    network,
    sgd,
    softmax,
)

import ban_tf

layers = keras.layers


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = [array for array in arrays if array is not None]

    def __len__(self):
        return len(self.arrays[0]) // 8

    def __getitem__(self, index):
        return tuple(array[8 * index : 8 * index + 8] for array in self.arrays)


def as_dataset(x, y, weights):
    arrays = tuple(array for array in (x, y, weights) if array is not None)
    return {"x": tf.data.Dataset.from_tensor_slices(arrays).batch(8)}


def as_py_dataset(x, y, weights):
    return {"x": Batches(x, y, weights)}


def as_generator(x, y, weights):
    def batches():
        while True:
            yield from (Batches(x, y, weights)[index] for index in range(len(x) // 8))

    return {"x": batches(), "steps_per_epoch": len(x) // 8}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("arrange", [as_dataset, as_py_dataset, as_generator])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_form_of_data(arrange, weighted):
    x, y = data()
    weights = np.linspace(0, 2, len(y)).astype("float32") if weighted else None
    assert_trains_alike(network, x, y, arrange=arrange, sample_weight=weights)


@pytest.mark.nightly
def test_shuffled_arrays_and_a_validation_split():
    x, y = data(40)
    plain, ours = assert_trains_alike(
        network,
        x,
        y,
        # Keras draws the shuffle when training starts, from the seed that `network` sets.
        fit={"validation_split": 0.2, "shuffle": True},
        compile={"metrics": ["categorical_accuracy"]},
        arrange=as_one_hot,
    )
    for history in (plain, ours):
        assert {"loss", "val_loss", "val_categorical_accuracy"} <= set(history)
    # The two losses differ by the teacher's entropy on the 8 validation examples.
    p = softmax(network(seed=1).predict(x[-8:], verbose=0))
    entropy = -np.mean(np.sum(p * np.log(p), axis=-1))
    np.testing.assert_allclose(np.subtract(plain["val_loss"], ours["val_loss"]), entropy, rtol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize("objective", ["kd+labels", "cwtm", "dkd"])
def test_integer_one_hot_and_soft_labels_are_alike(objective):
    x, y = data()
    one_hot = np.eye(CLASSES, dtype="float32")[y]
    forms = [y, y[:, None], y.astype("float32"), one_hot]
    students = []
    for labels in forms:
        students.append(network())
        model = ban_tf.BornAgainModel(students[-1], teacher=network(seed=1), objective=objective)
        model.compile(sgd())
        model.fit(x, labels, shuffle=False, verbose=0)
    for student in students[1:]:
        assert_equal_weights(student, students[0], atol=1e-6)


@pytest.mark.nightly
def test_soft_labels_count_as_the_distribution_that_they_are():
    x, y = data()
    soft = np.random.default_rng(1).dirichlet(np.ones(CLASSES), len(y)).astype("float32")
    plain, student = network(), network()
    plain.compile(sgd(), keras.losses.CategoricalCrossentropy(from_logits=True))
    model = ban_tf.BornAgainModel(student)
    model.compile(sgd())
    for item in (plain, model):
        item.fit(x, soft, batch_size=8, shuffle=False, verbose=0)
    assert_equal_weights(student, plain, atol=1e-6)


@pytest.mark.nightly
def test_class_weights_count_as_the_sample_weights_that_they_stand_for():
    x, y = data()
    weights = {0: 0.0, 1: 0.5, 2: 1.0, 3: 3.0}
    students = [network(), network()]
    given = [
        {"class_weight": weights},
        {"sample_weight": np.array([weights[entry] for entry in y])},
    ]
    for student, argument in zip(students, given, strict=True):
        model = ban_tf.BornAgainModel(student, teacher=network(seed=1), objective="kd+labels")
        model.compile(sgd())
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, **argument)
    assert_equal_weights(*students, atol=1e-6)


def sequence_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.SimpleRNN(6, return_sequences=True),
            layers.Dense(CLASSES),
        ]
    )


def padded():
    """Sequences of tokens, half of them shorter than the others, and a label for each token."""
    random = np.random.default_rng(0)
    tokens = random.integers(1, 9, (16, 5))
    tokens[::2, 3:] = 0
    return random, tokens, random.integers(0, CLASSES, (16, 5))


@pytest.mark.nightly
@pytest.mark.parametrize("weighted", [False, True])
def test_padding_in_sequences_is_masked(weighted):
    random, tokens, labels = padded()
    weights = random.uniform(0, 2, (16, 1)) if weighted else None
    assert_trains_alike(
        sequence_model, tokens, labels, teacher=sequence_model(seed=1), sample_weight=weights
    )


def test_a_teachers_outputs_for_padding_have_no_effect():
    random, tokens, labels = padded()
    logits = sequence_model(seed=1).predict(tokens, verbose=0)
    students = []
    for noise in (0.0, 100.0):
        logits[tokens == 0] += noise * random.normal(size=(int(np.sum(tokens == 0)), CLASSES))
        students.append(sequence_model())
        model = ban_tf.BornAgainModel(
            students[-1], teacher=ban_tf.RecordedTeacher(), objective="kd"
        )
        model.compile(sgd(), run_eagerly=True)
        recorded = {"labels": labels, "teacher_logits": logits.copy()}
        logs = model.train_on_batch(tokens, recorded, return_dict=True)
        assert logs["teacher_loss"] < 10
    assert_equal_weights(*students, atol=1e-7)


class AddsLoss(layers.Layer):
    def call(self, inputs):
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


@pytest.mark.nightly
def test_losses_of_layers_are_part_of_the_loss():
    def build():
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.1)),
                AddsLoss(),
                layers.Dense(CLASSES, activity_regularizer=keras.regularizers.L1(0.01)),
            ]
        )

    x, y = data()
    plain, ours = assert_trains_alike(build, x, y)
    p = softmax(network(seed=1).predict(x, verbose=0))
    entropy = -np.mean(np.sum(p * np.log(p), axis=-1))
    np.testing.assert_allclose(np.subtract(plain["loss"], ours["loss"]), entropy, rtol=1e-4)
    assert all(np.subtract(ours["loss"], ours["teacher_loss"]) > 0.01)


@pytest.mark.nightly
def test_metrics_and_weighted_metrics_are_those_of_plain_keras():
    x, y = data()
    weights = np.linspace(0, 2, len(y))
    results = []
    for plain in (True, False):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = (
            network()
            if plain
            else ban_tf.BornAgainModel(network(), teacher=network(seed=1), objective="kd")
        )
        model.compile(
            keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], weighted_metrics=["accuracy"]
        )
        results.append(model.evaluate(x, y, sample_weight=weights, return_dict=True, verbose=0))
    plain, ours = results
    assert ours["accuracy"] == plain["accuracy"]
    assert ours["weighted_accuracy"] == plain["weighted_accuracy"] != plain["accuracy"]
    np.testing.assert_allclose(ours["label_loss"], plain["loss"], rtol=1e-6)


@pytest.mark.nightly
def test_a_student_may_learn_from_its_teacher_without_labels():
    x, y = data()
    students = [network(), network()]
    for student, labels in zip(students, (y, None), strict=True):
        model = ban_tf.BornAgainModel(student, teacher=network(seed=1), objective="kd")
        model.compile(sgd())
        history = model.fit(x, labels, batch_size=8, shuffle=False, verbose=0).history
    assert history["loss"] == history["teacher_loss"]
    assert_equal_weights(*students, atol=0)
