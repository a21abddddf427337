"""Sample weights of the label term and of the teacher term, each by itself."""

import jax_process
import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import CLASSES, data, network

import ban_tf

SCE = keras.losses.SparseCategoricalCrossentropy
SIZE = 32


def weights():
    generator = np.random.default_rng(7)
    of_labels, of_teacher = generator.uniform(0.0, 3.0, size=(2, SIZE)).astype("float32")
    of_labels[::5] = 0.0
    return of_labels, of_teacher


def log_softmax(logits):
    logits = np.float64(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def by_sample(teacher, student, labels):
    """The label cross-entropy and the divergence of each sample, in float64."""
    log_p, log_q = log_softmax(teacher), log_softmax(student)
    return -log_q[np.arange(len(labels)), labels], (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)


def still(teacher, objective="kd", loss="default", run_eagerly=True):
    model = ban_tf.BornAgainModel(network(), teacher, objective, label_weight=1.0)
    loss = SCE(from_logits=True) if loss == "default" else loss
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="weighted")
    model.compile(
        keras.optimizers.SGD(0.0), loss=loss, weighted_metrics=[accuracy], run_eagerly=run_eagerly
    )
    return model


def expected(of_labels, of_teacher):
    x, y = data(SIZE)
    student = np.asarray(network()(x))
    label, teacher = by_sample(network(1)(x), student, y)
    hits = np.argmax(student, axis=-1) == y
    return {
        "label_loss": np.mean(label * of_labels),
        "teacher_loss": np.mean(teacher * of_teacher),
        "weighted": np.average(hits, weights=of_labels),
    }


def assert_reports(found, of_labels, of_teacher):
    wanted = expected(of_labels, of_teacher)
    wanted["loss"] = wanted["label_loss"] + wanted["teacher_loss"]
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def forms(x, y, sample_weight):
    """The same data as arrays, as a data set, and with the outputs of the teacher recorded."""
    arrays = {"x": x, "y": y, "sample_weight": sample_weight, "batch_size": SIZE}
    logits = np.asarray(network(1)(x))
    recorded = {"labels": y, "teacher_logits": logits}
    batches = [
        tf.data.Dataset.from_tensor_slices((x, labels, sample_weight)).batch(SIZE)
        for labels in (y, recorded)
    ]
    return {
        "arrays": (network(1), arrays),
        "dataset": (network(1), {"x": batches[0]}),
        "recorded": (ban_tf.RecordedTeacher(), {**arrays, "y": recorded}),
        "recorded-dataset": (ban_tf.RecordedTeacher(), {"x": batches[1]}),
    }


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("loss", ["default", None])
@pytest.mark.parametrize("form", ["arrays", "dataset", "recorded", "recorded-dataset"])
@pytest.mark.parametrize("given", ["both", "labels", "teacher", "one array"])
def test_each_term_has_its_own_weights(form, given, loss):
    of_labels, of_teacher = weights()
    sample_weight = {"labels": of_labels, "teacher": of_teacher}
    if given == "one array":
        sample_weight = of_teacher = of_labels
    elif given != "both":
        sample_weight = {given: sample_weight[given]}
        of_labels = of_labels if given == "labels" else np.ones(SIZE)
        of_teacher = of_teacher if given == "teacher" else np.ones(SIZE)
    teacher, arguments = forms(*data(SIZE), sample_weight)[form]
    model = still(teacher, loss=loss, run_eagerly=given != "both")
    history = model.fit(**arguments, verbose=0).history
    assert_reports({name: values[0] for name, values in history.items()}, of_labels, of_teacher)
    assert_reports(model.evaluate(**arguments, verbose=0, return_dict=True), of_labels, of_teacher)


@pytest.mark.parametrize("loss", [None, "binary_crossentropy"])
@pytest.mark.parametrize("units", [3, 4])
def test_the_weight_of_a_sample_counts_for_all_of_its_units(units, loss):
    # With as many units as samples, weights along the wrong axis would go unnoticed.
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(4, 6)), generator.integers(0, 2, (4, units))
    weight = np.array([0.0, 1.0, 2.0, 3.0])
    student, teacher = (
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(units, activation="sigmoid")])
        for _ in range(2)
    )
    model = ban_tf.BornAgainModel(student, teacher, "kd+labels", output_kind="binary")
    model.compile("sgd", loss, run_eagerly=True)
    found = model.test_on_batch(x, y.astype("float32"), weight, return_dict=True)
    p, q = (np.float64(net(x.astype("float32"))) for net in (teacher, student))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    label = -np.log(np.where(y == 1, q, 1 - q))
    for name, losses in (("teacher_loss", divergence), ("label_loss", label)):
        expected = np.mean(weight[:, None] * losses)
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_the_weight_of_a_sample_counts_for_all_steps_of_its_sequence():
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(4, 4, 6)), np.array([0.0, 1.0, 2.0, 3.0])
    student, teacher = (
        keras.Sequential([keras.Input((4, 6)), keras.layers.Dense(CLASSES)]) for _ in range(2)
    )
    model = ban_tf.BornAgainModel(student, teacher, "kd")
    model.compile("sgd", run_eagerly=True)
    found = model.test_on_batch(x, None, weight, return_dict=True)
    log_p, log_q = (log_softmax(net(x.astype("float32"))) for net in (teacher, student))
    divergence = np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)
    expected = np.mean(weight[:, None] * divergence)
    np.testing.assert_allclose(found["teacher_loss"], expected, rtol=1e-5)


def test_weights_without_labels_are_refused_where_keras_would_drop_them():
    x, weight = data(SIZE)[0], weights()[0]
    model = ban_tf.BornAgainModel(network(), network(1), "kd")
    model.compile("sgd", run_eagerly=True)
    for given in (
        lambda: model.fit(x, sample_weight=weight, verbose=0),
        lambda: model.evaluate(x, sample_weight=weight, verbose=0),
        lambda: model.fit(x, validation_data=(x, None, weight), verbose=0),
    ):
        with pytest.raises(ValueError, match="`sample_weight` is given without `y`"):
            given()
    (loss,) = model.fit(x, verbose=0, batch_size=SIZE).history["teacher_loss"]
    assert loss > 0


def test_they_weight_the_gradient_and_validation_data():
    (x, y), (of_labels, of_teacher) = data(SIZE), weights()
    student, teacher = network(), network(1)
    sample_weight = {"labels": of_labels, "teacher": of_teacher}
    model = ban_tf.BornAgainModel(student, teacher, "kd+labels")
    model.compile(keras.optimizers.SGD(1.0), loss=SCE(from_logits=True))
    before = student.get_weights()
    history = model.fit(
        x, y, sample_weight=sample_weight, batch_size=SIZE, shuffle=False, verbose=0,
        validation_data=(x, y, sample_weight),
    ).history  # fmt: skip
    hidden = np.tanh(np.float64(x) @ before[0] + before[1])
    log_q = log_softmax(hidden @ before[2] + before[3])
    log_p = log_softmax(teacher(x))
    to_logits = of_labels[:, None] * (np.exp(log_q) - np.eye(CLASSES)[y])
    to_logits += of_teacher[:, None] * (np.exp(log_q) - np.exp(log_p))
    moved = before[3] - student.get_weights()[3]
    np.testing.assert_allclose(moved, to_logits.mean(axis=0), atol=1e-6)
    label, divergence = by_sample(teacher(x), student(x), y)
    total = np.mean(of_labels * label) + np.mean(of_teacher * divergence)
    np.testing.assert_allclose(history["val_loss"], [total], rtol=1e-5)


def test_objectives_that_compare_samples_go_by_the_teachers_weights():
    (x, y), (of_labels, of_teacher) = data(SIZE), weights()
    model = still(network(1), "cwtm")
    logs = model.evaluate(
        x, y, sample_weight={"labels": of_labels, "teacher": of_teacher}, batch_size=SIZE,
        verbose=0, return_dict=True,
    )  # fmt: skip
    teacher = network(1)(x)
    label, _ = by_sample(teacher, network()(x), y)
    confidence = np.exp(log_softmax(teacher)).max(axis=-1)
    # The weights sum to one over what counts (Furlanello et al., 2018, eq. 10).
    normalized = confidence * of_teacher.sum() / np.sum(of_teacher * confidence)
    np.testing.assert_allclose(
        logs["teacher_loss"], np.mean(of_teacher * normalized * label), rtol=1e-5
    )


def two_outputs(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    return keras.Model(
        inputs, {name: keras.layers.Dense(CLASSES, name=name)(inputs) for name in "ab"}
    )


@pytest.mark.nightly
def test_several_outputs_may_have_their_own_in_each_term():
    (x, y), (of_labels, of_teacher) = data(SIZE), weights()
    labels = {"a": y, "b": (y + 1) % CLASSES}
    sample_weight = {"labels": {"a": of_labels, "b": of_teacher}, "teacher": of_teacher}
    model = ban_tf.BornAgainModel(two_outputs(0), teacher := two_outputs(1), "kd+labels")
    model.compile("sgd", loss=SCE(from_logits=True))
    batches = tf.data.Dataset.from_tensor_slices((x, labels, sample_weight)).batch(SIZE)
    logs = model.evaluate(batches, verbose=0, return_dict=True)
    theirs, ours = teacher(x), model.student(x)
    terms = {name: by_sample(theirs[name], ours[name], labels[name]) for name in "ab"}
    label = np.mean(of_labels * terms["a"][0]) + np.mean(of_teacher * terms["b"][0])
    divergence = sum(np.mean(of_teacher * terms[name][1]) for name in "ab")
    np.testing.assert_allclose(logs["label_loss"], label, rtol=1e-5)
    np.testing.assert_allclose(logs["teacher_loss"], divergence, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`sample_weight` is given by term .* tf.data.Dataset"):
        model.fit(x, labels, sample_weight={"labels": of_labels, "teacher": of_teacher}, verbose=0)
    # By the names of outputs, as Keras has it, they count for both terms.
    logs = model.evaluate(
        x, labels, sample_weight={"a": of_labels, "b": of_teacher}, batch_size=SIZE, verbose=0,
        return_dict=True,
    )  # fmt: skip
    both = [
        np.mean(of_labels * terms["a"][i]) + np.mean(of_teacher * terms["b"][i]) for i in (0, 1)
    ]
    np.testing.assert_allclose([logs["label_loss"], logs["teacher_loss"]], both, rtol=1e-5)


def test_without_a_teacher_those_for_labels_count():
    (x, y), (of_labels, of_teacher) = data(SIZE), weights()
    logs = still(None).evaluate(
        x, y, sample_weight={"labels": of_labels, "teacher": of_teacher}, batch_size=SIZE,
        verbose=0, return_dict=True,
    )  # fmt: skip
    wanted = expected(of_labels, of_teacher)["label_loss"]
    np.testing.assert_allclose(logs["loss"], wanted, rtol=1e-5)


@pytest.mark.parametrize("keys", [("label", "teacher"), ("techer",), ("labels", "other")])
def test_other_keys_are_refused(keys):
    x, y = data(SIZE)
    sample_weight = dict.fromkeys(keys, weights()[0])
    with pytest.raises(ValueError, match=r"`sample_weight` has the keys .* 'labels' and 'teacher'"):
        still(network(1)).fit(x, y, sample_weight=sample_weight, verbose=0)


ON_JAX = """
import json, sys
import keras, numpy as np
import ban_tf
given = {name: np.array(values) for name, values in json.loads(sys.argv[1]).items()}
x, y = given["x"].astype("float32"), given["y"]

def linear(kernel):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, use_bias=False)])
    model.set_weights([kernel])
    return model

teacher, found = linear(given["teacher"]), []
recorded = {"labels": y, "teacher_logits": np.array(teacher.predict(x, verbose=0))}
for teacher, labels in ((teacher, y), (ban_tf.RecordedTeacher(), recorded)):
    for loss in (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)):
        model = ban_tf.BornAgainModel(linear(given["student"]), teacher, "kd+labels")
        model.compile(keras.optimizers.SGD(0.0), loss=loss)
        weights = {name: given[f"of_{name}"].astype("float32") for name in ("labels", "teacher")}
        history = model.fit(x, labels, sample_weight=weights, batch_size=len(x), verbose=0).history
        found.append([history["label_loss"][0], history["teacher_loss"][0]])
print(json.dumps(found))
"""


@pytest.mark.nightly
@jax_process.needed
def test_on_jax_too_with_a_teacher_and_with_its_recorded_outputs():
    (x, y), (of_labels, of_teacher) = data(SIZE), weights()
    teacher, student = np.random.default_rng(4).normal(size=(2, 6, 4))
    given = {"x": x, "y": y, "teacher": teacher, "student": student}
    given |= {"of_labels": of_labels, "of_teacher": of_teacher}
    found = jax_process.run(ON_JAX, {k: v.tolist() for k, v in given.items()})
    label, divergence = by_sample(x @ teacher, x @ student, y)
    wanted = [np.mean(of_labels * label), np.mean(of_teacher * divergence)]
    np.testing.assert_allclose(found, [wanted] * 4, rtol=1e-4)
