"""Each objective's gradient against the paper's formulas, written in float64 NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from ban_tf import objectives
from ban_tf.objectives import permutation

SHAPES = [(16, 7), (4, 5, 7)]
SEED = tf.constant([3, 4])


def _softmax(logits):
    shifted = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _batch(shape, scale=2.0):
    generator = np.random.default_rng(sum(shape))
    teacher = (scale * generator.normal(size=shape)).astype("float32")
    student = (scale * generator.normal(size=shape)).astype("float32")
    return generator.integers(0, shape[-1], shape[:-1]), teacher, student


def _gradient(objective, labels, teacher, student, weight=None):
    """Gradient of the mean of the weighted losses with respect to the student's logits."""
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        losses = objective(labels, teacher, student, sample_weight=weight, seed=SEED)
        total = tf.reduce_mean(losses if weight is None else losses * weight)
    return tape.gradient(total, student).numpy()


def _expected(name, labels, teacher, student, weight):
    p, q = _softmax(teacher), _softmax(student)
    y = np.eye(student.shape[-1])[labels]
    count = labels.size
    weight = np.ones(labels.shape) if weight is None else np.float64(weight)
    if name == "labels":
        return weight[..., None] * (q - y) / count
    if name == "kd":  # eq. 5
        return weight[..., None] * (q - p) / count
    if name == "dkpp":  # eq. 11
        permuted = _softmax(permutation.permute(tf.constant(teacher), SEED).numpy())
        return weight[..., None] * (q - permuted) / count
    confidence = {"cwtm": p.max(axis=-1), "importance": np.sum(p * y, axis=-1)}[name]
    share = confidence / np.sum(weight * confidence)  # eq. 9 and 10
    return (weight * share)[..., None] * (q - y) * weight.sum() / count


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["labels", "kd", "cwtm", "dkpp", "importance"])
def test_gradient_is_the_papers(name, shape, weighted):
    labels, teacher, student = _batch(shape)
    weight = None
    if weighted:
        weight = np.random.default_rng(1).uniform(size=shape[:-1]).astype("float32")
    gradient = _gradient(objectives.get(name), labels, teacher, student, weight)
    expected = _expected(name, labels, teacher, student, weight)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_splits_into_true_class_and_dark_knowledge(shape):
    """Equations 7 and 8."""
    labels, teacher, student = _batch(shape)
    gradient = _gradient(objectives.DarkKnowledge(), labels, teacher, student) * labels.size
    p, q = _softmax(teacher), _softmax(student)
    y = np.eye(shape[-1])[labels]
    true_class = np.sum((q - p * y) * y)
    dark_knowledge = np.sum((q - p) * (1 - y))
    np.testing.assert_allclose(np.sum(gradient * y), true_class, atol=1e-4)
    np.testing.assert_allclose(np.sum(gradient * (1 - y)), dark_knowledge, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_temperature_scales_the_gradient_by_itself(temperature):
    """T^2 times the 1/T of the softened logits (Hinton et al., 2015)."""
    labels, teacher, student = _batch((16, 7))
    gradient = _gradient(objectives.DarkKnowledge(temperature), labels, teacher, student)
    difference = _softmax(student / temperature) - _softmax(teacher / temperature)
    np.testing.assert_allclose(gradient, temperature * difference / 16, atol=1e-5)


def test_standardised_logits_leave_shift_and_scale_out():
    labels, teacher, student = _batch((16, 7))
    objective = objectives.DarkKnowledge(temperature=2.0, standardise=True)
    losses = objective(labels, teacher, student)
    np.testing.assert_allclose(losses, objective(labels, 3 * teacher + 5, student), atol=1e-5)
    standard = [
        (each - each.mean(-1, keepdims=True)) / each.std(-1, keepdims=True)
        for each in (np.float64(teacher), np.float64(student))
    ]
    p, q = (_softmax(each / 2.0) for each in standard)
    np.testing.assert_allclose(losses, 4 * np.sum(p * np.log(p / q), axis=-1), atol=1e-5)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn():
    labels, teacher, _ = _batch((16, 7))
    np.testing.assert_allclose(objectives.DarkKnowledge()(labels, teacher, teacher), 0, atol=1e-6)


@pytest.mark.parametrize("name", ["labels", "kd", "cwtm", "dkpp", "importance"])
def test_extreme_logits_are_finite(name):
    generator = np.random.default_rng(0)
    teacher, student = (generator.choice([-1e4, 0, 1e4], (32, 5)).astype("float32") for _ in "ts")
    labels = generator.integers(0, 5, 32)
    objective = objectives.get(name)
    assert np.all(np.isfinite(objective(labels, teacher, student, seed=SEED)))
    assert np.all(np.isfinite(_gradient(objective, labels, teacher, student)))


@pytest.mark.parametrize("name", ["labels", "kd", "cwtm", "dkpp"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_are_float32_whatever_the_model_computes_in(name, dtype):
    labels, teacher, student = _batch((8, 5))
    losses = objectives.get(name)(
        labels, tf.cast(teacher, dtype), tf.cast(student, dtype), seed=SEED
    )
    assert losses.dtype == tf.float32


@pytest.mark.parametrize("name", ["labels", "cwtm", "importance"])
def test_integer_one_hot_and_column_labels_mean_the_same(name):
    labels, teacher, student = _batch((16, 7))
    objective = objectives.get(name)
    expected = objective(labels, teacher, student)
    for other in (
        labels[:, None],
        labels.astype("float32"),
        np.eye(7)[labels],
        labels.astype("uint8"),
    ):
        np.testing.assert_allclose(objective(other, teacher, student), expected, atol=1e-6)


def test_weights_of_an_empty_batch_are_zero():
    labels, teacher, student = _batch((4, 5))
    losses = objectives.CWTM()(labels, teacher, student, sample_weight=np.zeros(4, "float32"))
    np.testing.assert_array_equal(losses, np.zeros(4))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [True, False])
def test_the_label_loss_equals_kerass_categorical_one(smoothing, from_logits):
    import keras

    labels, _, student = _batch((16, 7))
    predictions = student if from_logits else _softmax(student).astype("float32")
    one_hot = np.eye(7, dtype="float32")[labels]
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=smoothing
    )(one_hot, predictions)
    loss = objectives.LabelCrossEntropy(from_logits=from_logits, label_smoothing=smoothing)
    for form in (labels, labels[:, None], one_hot):
        np.testing.assert_allclose(loss(form, predictions), expected, rtol=1e-5)
