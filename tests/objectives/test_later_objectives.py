"""DKD and DIST against their papers' formulas, written out in float64 NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from ban_tf import objectives


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def draw(shape):
    random = np.random.default_rng(0)
    teacher, student = random.normal(size=(2, *shape)) * 2
    return random.integers(0, shape[-1], shape[:-1]), teacher, student


def decoupled(label, teacher, student, alpha, beta, temperature):
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    binary_p, binary_q = (np.array([x[label], 1 - x[label]]) for x in (p, q))
    others_p, others_q = (np.delete(x, label) / (1 - x[label]) for x in (p, q))
    target = np.sum(binary_p * np.log(binary_p / binary_q))
    others = np.sum(others_p * np.log(others_p / others_q))
    return temperature**2 * (alpha * target + beta * others)


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5), (6, 2)])
@pytest.mark.parametrize("arguments", [(1.0, 8.0, 4.0), (0.5, 2.0, 1.0), (1.0, 0.0, 2.0)])
def test_decoupled_knowledge_follows_zhao_et_al(shape, arguments):
    labels, teacher, student = draw(shape)
    expected = [
        decoupled(label, t, s, *arguments)
        for label, t, s in zip(
            labels.ravel(),
            teacher.reshape(-1, shape[-1]),
            student.reshape(-1, shape[-1]),
            strict=True,
        )
    ]
    found = objectives.DKD(*arguments)(labels, teacher, student)
    np.testing.assert_allclose(found, np.reshape(expected, shape[:-1]), atol=1e-9)


def test_soft_labels_name_the_true_class_by_their_highest():
    labels, teacher, student = draw((6, 5))
    soft = 0.6 * np.eye(5)[labels] + 0.08
    np.testing.assert_allclose(
        objectives.DKD()(soft, teacher, student), objectives.DKD()(labels, teacher, student)
    )


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
@pytest.mark.parametrize("beta, gamma, temperature", [(1.0, 1.0, 1.0), (2.0, 0.5, 4.0)])
def test_relational_match_follows_huang_et_al(shape, beta, gamma, temperature):
    labels, teacher, student = draw(shape)
    p, q = (softmax(z / temperature).reshape(-1, shape[-1]) for z in (teacher, student))
    inter = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)]
    intra = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    expected = temperature**2 * (beta * np.reshape(inter, shape[:-1]) + gamma * intra)
    found = objectives.DIST(beta, gamma, temperature)(labels, teacher, student)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def relational(teacher, student, weight, beta, gamma, temperature):
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    inter = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)]

    def weighted_distance(a, b):
        covariance = np.cov(a, b, aweights=weight)
        return 1 - covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])

    intra = np.mean([weighted_distance(a, b) for a, b in zip(p.T, q.T, strict=True)])
    return temperature**2 * (beta * np.array(inter) + gamma * intra)


def test_relations_between_samples_count_each_as_much_as_its_weight():
    labels, teacher, student = draw((6, 5))
    weight = np.array([0.0, 1.0, 2.0, 0.5, 1.0, 3.0])
    found = objectives.DIST()(labels, teacher, student, sample_weight=weight)
    np.testing.assert_allclose(found, relational(teacher, student, weight, 1, 1, 1), rtol=1e-5)
    # A sample of weight zero has no influence on the others.
    student[0] += 5 * np.arange(5)
    again = objectives.DIST()(labels, teacher, student, sample_weight=weight)
    np.testing.assert_allclose(again[1:], found[1:])


def numerical_gradient(loss, student, step=1e-5):
    gradient = np.zeros_like(student)
    for index in np.ndindex(student.shape):
        shift = np.zeros_like(student)
        shift[index] = step
        gradient[index] = (loss(student + shift) - loss(student - shift)) / (2 * step)
    return gradient


def test_gradients_are_those_of_the_papers_formulas():
    labels, teacher, student = draw((4, 5))
    formulas = {
        objectives.DKD(1.0, 8.0, 4.0): lambda z: sum(
            decoupled(*entry, 1.0, 8.0, 4.0) for entry in zip(labels, teacher, z, strict=True)
        ),
        objectives.DIST(1.0, 2.0, 4.0): lambda z: np.sum(
            relational(teacher, z, np.ones(4), 1.0, 2.0, 4.0)
        ),
    }
    for objective, formula in formulas.items():
        logits = tf.constant(student)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(objective(labels, teacher, logits))
        found = tape.gradient(total, logits)
        np.testing.assert_allclose(found, numerical_gradient(formula, student), atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
def test_the_decoupled_parts_add_up_to_ordinary_distillation(shape):
    from ban_tf.objectives.decoupled import decoupled_divergences

    labels, teacher, student = draw(shape)
    target, others = decoupled_divergences(labels, teacher, student)
    p_true = np.sum(softmax(teacher) * np.eye(shape[-1])[labels], axis=-1)
    expected = objectives.KD()(labels, teacher, student)
    np.testing.assert_allclose(target + (1 - p_true) * others, expected, atol=1e-10)


@pytest.mark.parametrize("shape", [(6, 10), (1, 10)])
def test_equal_outputs_or_a_single_example_have_no_relations_to_learn_from(shape):
    _, teacher, student = (entry.astype("float32") for entry in draw(shape))
    logits = tf.constant(student if shape[0] == 1 else np.full(shape, 0.3, "float32"))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = objectives.DIST(beta=float(shape[0] > 1))(None, teacher, logits)
    np.testing.assert_allclose(losses, 1.0 + float(shape[0] > 1), rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(losses, logits), np.zeros(shape))


def test_relations_survive_a_change_of_scale():
    probabilities = softmax(np.random.default_rng(0).normal(size=(6, 5)))
    sharper = 0.5 * probabilities + 0.1  # the same relations, less sure
    found = objectives.DIST()(None, np.log(probabilities), np.log(sharper))
    np.testing.assert_allclose(found, 0.0, atol=1e-5)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: objectives.DKD(alpha=-1.0), "alpha"),
        (lambda: objectives.DKD(beta=float("nan")), "beta"),
        (lambda: objectives.DIST(gamma=-1.0), "gamma"),
        (lambda: objectives.DIST(temperature=0.0), "temperature"),
        (lambda: objectives.KD(temperature=-2.0), "temperature"),
        (lambda: objectives.DKPP(temperature=float("inf")), "temperature"),
    ],
)
def test_values_out_of_range_are_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        make()
