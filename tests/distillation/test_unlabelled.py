"""Samples without a label learn from the teacher alone, as float64 NumPy says."""

import keras
import numpy as np
import pytest
from twins import CLASSES, softmax

import ban_tf
from ban_tf import objectives

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 3)).astype("float32")
Y = RANDOM.integers(0, CLASSES, 12)
MISSING = np.arange(12) % 3 > 0
LOSSES = {
    "ours": objectives.LabelCrossEntropy(),
    "keras": keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
    "default": None,
}


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(CLASSES)])


def model(loss, metrics=("accuracy",)):
    found = ban_tf.BornAgainModel(network(0), network(1), "kd+labels")
    found.compile(keras.optimizers.SGD(1.0), loss, weighted_metrics=list(metrics))
    return found


def logits(seed):
    kernel, bias = (np.float64(weight) for weight in network(seed).get_weights())
    return np.float64(X) @ kernel + bias


def reference(missing, weights=None):
    """Both terms, and the step of the bias."""
    p, q = softmax(logits(1)), softmax(logits(0))
    weights = np.ones(12) if weights is None else weights
    given = ~missing
    count = max(1, given.sum())
    labels = -np.sum((weights * np.log(q[np.arange(12), Y]))[given]) / count
    teacher = np.mean(weights * np.sum(p * np.log(p / q), axis=-1))
    slope = np.sum((weights[:, None] * (q - np.eye(CLASSES)[Y]))[given], axis=0) / count
    slope = slope + np.mean(weights[:, None] * (q - p), axis=0)
    return labels, teacher, -slope


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_labels_count_by_their_mean_and_the_teacher_by_that_of_all(loss, weighted):
    student = model(LOSSES[loss])
    weights = RANDOM.uniform(0.5, 2.0, 12).astype("float32") if weighted else None
    before = student.student.get_weights()
    logs = student.train_on_batch(
        X, np.where(MISSING, -1, Y), sample_weight=weights, return_dict=True
    )
    labels, teacher, step = reference(MISSING, weights)
    np.testing.assert_allclose(logs["label_loss"], labels, rtol=1e-5)
    np.testing.assert_allclose(logs["teacher_loss"], teacher, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], labels + teacher, rtol=1e-5)
    found = student.student.get_weights()[1] - before[1]
    np.testing.assert_allclose(found, step, atol=2e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_any_label_learns_from_the_teacher(loss):
    student = model(LOSSES[loss])
    logs = student.train_on_batch(X, np.full(12, -1), return_dict=True)
    _, teacher, step = reference(np.ones(12, bool))
    np.testing.assert_allclose([logs["label_loss"], logs["loss"]], [0.0, teacher], rtol=1e-5)
    found = student.student.get_weights()[1] - network(0).get_weights()[1]
    np.testing.assert_allclose(found, step, atol=2e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("loss", LOSSES)
def test_metrics_leave_out_what_has_no_label(loss):
    student = model(LOSSES[loss], ["accuracy", "sparse_top_k_categorical_accuracy"])
    right = logits(0).argmax(-1) == Y
    results = student.evaluate(X, np.where(MISSING, -1, Y), return_dict=True, verbose=0)
    assert results["accuracy"] == pytest.approx(right[~MISSING].mean())
    weights = RANDOM.uniform(0.5, 2.0, 12).astype("float32")
    results = student.evaluate(X, np.where(MISSING, -1, Y), 12, 0, weights, return_dict=True)
    expected = np.average(right[~MISSING], weights=weights[~MISSING])
    assert results["accuracy"] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_knows_no_missing_label_is_refused():
    student = model(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ban_tf.errors.InputError, match="give the loss `ignore_class`"):
        student.fit(X, np.where(MISSING, -1, Y), verbose=0)
