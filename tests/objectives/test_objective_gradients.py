"""Losses and gradients against the formulas of the paper in float64 NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf import objectives

SHAPES = [(6, 5), (4, 3, 5)]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def draw(shape, seed=0):
    random = np.random.default_rng(seed)
    teacher, student = random.normal(size=shape) * 2, random.normal(size=shape) * 2
    return random.integers(0, shape[-1], shape[:-1]), teacher, student


def gradient(objective, labels, teacher, student, factor=1.0, **kwargs):
    """Of the sum of losses, with respect to both the student's and the teacher's logits."""
    teacher, student = tf.constant(teacher), tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        losses = objective(labels, teacher, student, **kwargs)
        total = tf.reduce_sum(losses * tf.cast(factor, losses.dtype))
    return tape.gradient(total, [student, teacher])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dark_knowledge_has_the_gradient_of_equation_5(shape, temperature):
    labels, teacher, student = draw(shape)
    found, to_teacher = gradient(objectives.DarkKnowledge(temperature), labels, teacher, student)
    # T^2 times the 1/T of the chain rule.
    expected = temperature * (softmax(student / temperature) - softmax(teacher / temperature))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert to_teacher is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_dark_knowledge_is_the_divergence_times_the_squared_temperature(shape, temperature):
    labels, teacher, student = draw(shape)
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * np.sum(p * np.log(p / q), axis=-1)
    found = objectives.KD(temperature)(labels, teacher, student)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_standardized_logits_follow_sun_et_al():
    _, teacher, student = draw((6, 5))

    def standard(z):
        return (z - z.mean(-1, keepdims=True)) / (z.std(-1, keepdims=True) + 1e-7)

    p, q = softmax(standard(teacher) / 2), softmax(standard(student) / 2)
    found = objectives.KD(2.0, standardize=True)(None, teacher, student)
    np.testing.assert_allclose(found, 4 * np.sum(p * np.log(p / q), axis=-1), rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["cwtm", "importance"])
def test_weighting_has_the_gradient_of_equations_9_and_10(shape, weighted, name):
    labels, teacher, student = draw(shape)
    counts = np.ones(shape[:-1])
    if weighted:
        counts = np.random.default_rng(1).uniform(size=shape[:-1])
        counts[0] = 0
    p, true = softmax(teacher), np.eye(shape[-1])[labels]
    weights = p.max(-1) if name == "cwtm" else (p * true).sum(-1)
    share = counts * weights / (counts * weights).sum()
    expected = share[..., None] * (softmax(student) - true)
    # The mean as Keras takes it: the sum of weighted losses over the sum of sample weights.
    found, to_teacher = gradient(
        objectives.get(name),
        labels,
        teacher,
        student,
        factor=counts / counts.sum(),
        sample_weight=counts if weighted else None,
    )
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert to_teacher is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_permuted_dark_knowledge_has_the_gradient_of_equation_11(shape, temperature):
    from ban_tf.objectives.permutation import permute

    labels, teacher, student = draw(shape)
    seed = np.array([3, 4], "int32")
    target = softmax(np.asarray(permute(teacher, seed)) / temperature)
    found, to_teacher = gradient(objectives.DKPP(temperature), labels, teacher, student, seed=seed)
    expected = temperature * (softmax(student / temperature) - target)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert to_teacher is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_have_the_gradient_of_cross_entropy(shape, weighted, smoothing):
    labels, teacher, student = draw(shape)
    weight = np.random.default_rng(1).uniform(size=shape[:-1]) if weighted else np.ones(shape[:-1])
    target = np.eye(shape[-1])[labels] * (1 - smoothing) + smoothing / shape[-1]
    found, _ = gradient(objectives.Labels(smoothing), labels, teacher, student, factor=weight)
    np.testing.assert_allclose(found, weight[..., None] * (softmax(student) - target), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_splits_into_true_class_and_dark_knowledge(shape):
    """Equations 7 and 8."""
    labels, teacher, student = draw(shape)
    found = gradient(objectives.DarkKnowledge(), labels, teacher, student)[0].numpy()
    p, q, true = softmax(teacher), softmax(student), np.eye(shape[-1])[labels]
    np.testing.assert_allclose(np.sum(found * true), np.sum((q - p * true) * true), atol=1e-10)
    dark_knowledge = np.sum((q - p) * (1 - true))
    np.testing.assert_allclose(np.sum(found * (1 - true)), dark_knowledge, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", objectives.names.OF_CLASSES)
def test_a_float32_gradient_is_that_of_float64(name, shape):
    batch = draw(shape)
    seed = np.array([3, 4], "int32")
    wide, _ = gradient(objectives.get(name), *batch, seed=seed)
    labels, teacher, student = batch
    narrow, _ = gradient(
        objectives.get(name),
        labels,
        teacher.astype("float32"),
        student.astype("float32"),
        seed=seed,
    )
    np.testing.assert_allclose(narrow, wide, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["kd", "dkpp", "kd-standardized", "dkd", "dist"])
def test_sample_weights_scale_losses_that_look_at_one_sample_alone(name, shape):
    labels, teacher, student = draw(shape)
    weight = np.random.default_rng(1).uniform(size=shape[:-1])
    objective = objectives.DIST(gamma=0.0) if name == "dist" else objectives.get(name)
    seed = np.array([3, 4], "int32")
    plain, _ = gradient(objective, labels, teacher, student, seed=seed)
    weighted, _ = gradient(
        objective, labels, teacher, student, factor=weight, sample_weight=weight, seed=seed
    )
    np.testing.assert_allclose(weighted, weight[..., None] * plain, atol=1e-10)


def test_weights_of_a_sample_count_for_all_steps_of_its_sequence():
    labels, teacher, student = draw((4, 3, 5))
    weight = np.array([1.0, 0.0, 2.0, 3.0])
    spread = np.broadcast_to(weight[:, None], (4, 3))
    for name in ("cwtm", "dist"):
        objective = objectives.get(name)
        np.testing.assert_allclose(
            objective(labels, teacher, student, sample_weight=weight),
            objective(labels, teacher, student, sample_weight=spread),
        )


def test_standardized_logits_leave_shift_and_scale_out():
    _, teacher, student = draw((6, 5))
    objective = objectives.KD(2.0, standardize=True)
    np.testing.assert_allclose(
        objective(None, 3 * teacher + 5, student), objective(None, teacher, student)
    )


@pytest.mark.parametrize("name", ["kd", "dkd"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_student_that_equals_its_teacher_has_no_gradient(name, shape):
    labels, teacher, _ = draw(shape)
    found = objectives.get(name)(labels, teacher.astype("float32"), teacher.astype("float32"))
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


@pytest.mark.parametrize("name", objectives.names.OF_CLASSES)
@pytest.mark.parametrize("kind", ["opposed", "equal", "constant"])
def test_extreme_logits_stay_finite(name, kind):
    objective = objectives.get(name)
    teacher = np.full((3, 4), -1e4, "float32")
    teacher[np.arange(3), [0, 1, 2]] = 1e4
    student = {"opposed": -teacher, "equal": teacher, "constant": np.zeros_like(teacher)}[kind]
    labels = np.array([0, 1, 3])
    found, _ = gradient(objective, labels, teacher, student)
    assert np.all(np.isfinite(objective(labels, teacher, student)))
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("name", objectives.names.OF_CLASSES)
def test_a_mixture_of_extreme_logits_stays_finite(name):
    random = np.random.default_rng(0)
    teacher, student = random.choice(np.float32([-1e4, 0.0, 1e4]), (2, 64, 5))
    objective, labels = objectives.get(name), random.integers(0, 5, 64)
    found, _ = gradient(objective, labels, teacher, student)
    assert np.all(np.isfinite(objective(labels, teacher, student)))
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("name", objectives.names.OF_CLASSES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_losses_are_computed_in_float32_at_least(name, dtype):
    labels, teacher, student = draw((4, 5))
    teacher, student = tf.cast(teacher, dtype), tf.cast(student, dtype)
    found = objectives.get(name)(labels, teacher, student)
    expected = "float64" if dtype == "float64" else "float32"
    assert keras.backend.standardize_dtype(found.dtype) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_normalized_weights_have_a_mean_of_one(weighted):
    weights = np.array([0.2, 0.4, 0.9])
    counts = np.array([1.0, 0.0, 3.0]) if weighted else None
    found = objectives.normalize(tf.constant(weights), counts)
    np.testing.assert_allclose(np.average(found, weights=counts), 1.0)
    np.testing.assert_allclose(found / found[0], weights / weights[0])


def test_normalizing_sums_over_replicas():
    weights, others = np.array([0.2, 0.4]), np.array([0.9, 0.5])
    sums = iter([2.0, others.sum()])
    found = objectives.normalize(tf.constant(weights), None, lambda x: x + next(sums))
    np.testing.assert_allclose(found, weights / np.mean([0.2, 0.4, 0.9, 0.5]))


@pytest.mark.parametrize("name", ["kd", "dkpp", "dkd", "dist"])
@pytest.mark.parametrize("shape", [(6, 1), (1, 5), (2, 6, 5)])
def test_teachers_of_another_shape_are_refused(name, shape):
    with pytest.raises(ValueError, match="`teacher_logits` and `student_logits` must have one"):
        objectives.get(name)(np.zeros(6, "int32"), np.zeros(shape), np.zeros((6, 5)))


def test_a_batch_of_no_weight_loses_nothing():
    labels, teacher, student = draw((4, 5))
    losses = objectives.CWTM()(labels, teacher, student, sample_weight=np.zeros(4))
    np.testing.assert_array_equal(losses, np.zeros(4))


def test_normalizing_weights_of_zero_gives_zero():
    np.testing.assert_array_equal(objectives.normalize(tf.zeros(3)), np.zeros(3))


@pytest.mark.parametrize("name", [name for name in objectives.OBJECTIVES if name != "labels"])
def test_a_replica_without_samples_has_no_losses(name):
    labels, teacher, student = (entry[:0] for entry in draw((6, 5)))
    objective = objectives.get(name)
    labels = student if objective.kinds == ("values",) else labels
    assert objective(labels, teacher, student, seed=tf.constant([0, 1])).shape == (0,)
