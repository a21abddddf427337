"""Classes that a model rules out by a logit of minus infinity: right values, finite gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf import objectives
from ban_tf.objectives.permutation import permute

RULED_OUT = [1, 4]
POSSIBLE = [0, 2, 3, 5]
SHAPE = (7, 6)
OBJECTIVES = [
    objectives.KD(),
    objectives.KD(3.0),
    objectives.KD(2.0, standardize=True),
    objectives.DKD(0.7, 2.0, 3.0),
    objectives.DIST(2.0, 0.5, 3.0),
    objectives.CWTM(),
    objectives.ImportanceWeighted(),
    objectives.Labels(),
    objectives.Labels(label_smoothing=0.3),
    objectives.Progressive("kd", steps=4),
]


def logits(seed, minus=-np.inf, columns=RULED_OUT):
    values = np.random.default_rng(seed).normal(size=SHAPE) * 3
    if columns:
        values[:, columns] = minus
    return values


def labels():
    return np.array([0, 2, 3, 5, 5, 0, 2])


def value_and_gradient(objective, labels, teacher, student, **options):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        losses = objective(labels, tf.constant(teacher), student, **options)
        total = tf.reduce_sum(losses)
    return losses.numpy(), tape.gradient(total, student).numpy()


@pytest.mark.parametrize("minus", [-np.inf, np.finfo("float32").min])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_classes_that_both_rule_out_are_as_if_they_were_not_there(objective, dtype, minus):
    teacher, student = (logits(seed, minus).astype(dtype) for seed in (0, 1))
    options = {"seed": tf.constant([0, 1])} if isinstance(objective, objectives.Progressive) else {}
    found, gradient = value_and_gradient(objective, labels(), teacher, student, **options)
    among = np.searchsorted(POSSIBLE, labels())
    expected, smaller = value_and_gradient(
        objective, among, teacher[:, POSSIBLE], student[:, POSSIBLE], **options
    )
    atol = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(found, expected, atol=atol)
    np.testing.assert_allclose(gradient[:, POSSIBLE], smaller, atol=atol)
    np.testing.assert_array_equal(gradient[:, RULED_OUT], 0.0)


def softmax(values):
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def test_a_class_that_the_student_alone_rules_out_is_not_taught():
    teacher, student = logits(0, columns=None), logits(1)
    found, gradient = value_and_gradient(objectives.KD(2.0), None, teacher, student)
    p, q = (softmax(network[:, POSSIBLE] / 2.0) for network in (teacher, student))
    np.testing.assert_allclose(found, 4.0 * np.sum(p * np.log(p / q), axis=-1), rtol=1e-9)
    np.testing.assert_allclose(gradient[:, POSSIBLE], 2.0 * (q - p), atol=1e-12)
    np.testing.assert_array_equal(gradient[:, RULED_OUT], 0.0)


def test_a_class_that_the_teacher_alone_rules_out_is_unlearnt():
    teacher, student = logits(0), logits(1, columns=None)
    found, gradient = value_and_gradient(objectives.KD(2.0), None, teacher, student)
    p, q = softmax(teacher / 2.0), softmax(student / 2.0)
    terms = p[:, POSSIBLE] * np.log(p[:, POSSIBLE] / q[:, POSSIBLE])
    np.testing.assert_allclose(found, 4.0 * terms.sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(gradient, 2.0 * (q - p), atol=1e-12)
    assert (gradient[:, RULED_OUT] > 0).all()


@pytest.mark.parametrize("standardize", [False, True])
def test_a_teacher_without_any_class_of_the_student_teaches_nothing(standardize):
    teacher = np.array([[5.0, -np.inf, -np.inf], [1.0, 2.0, 0.0]])
    student = np.array([[-np.inf, 1.0, 2.0], [0.5, 0.3, 1.7]])
    objective = objectives.KD(2.0, standardize=standardize)
    found, gradient = value_and_gradient(objective, None, teacher, student)
    assert found[0] == 0.0 and found[1] > 0.0
    np.testing.assert_array_equal(gradient[0], 0.0)
    assert np.abs(gradient[1]).min() > 0.0


def patterns(kind):
    """Each sample rules out classes of its own, never that of its label."""
    generator = np.random.default_rng(3)
    teacher, student = (generator.normal(size=SHAPE) * 3 for _ in range(2))
    for row, label in enumerate(labels()):
        others = [number for number in range(SHAPE[1]) if number != label]
        for which, values in (("teacher", teacher), ("student", student)):
            if kind in (which, "either"):
                values[row, generator.choice(others, row % 4, replace=False)] = -np.inf
    return teacher, student


@pytest.mark.first_cases(12)
@pytest.mark.parametrize("objective", [*OBJECTIVES, objectives.DKPP(2.0)], ids=repr)
@pytest.mark.parametrize("compiled", [False, True])
def test_losses_are_finite_whichever_model_rules_out_classes(objective, compiled):
    function = tf.function(
        lambda *given: value_and_gradient_of(objective, *given), jit_compile=compiled
    )
    for kind in ("teacher", "student", "either"):
        teacher, student = (tf.constant(pattern, "float32") for pattern in patterns(kind))
        losses, gradient = function(tf.constant(labels()), teacher, student)
        assert np.isfinite(losses).all() and (np.abs(losses) < 1e3).all(), kind
        assert np.isfinite(gradient).all(), kind


def value_and_gradient_of(objective, labels, teacher, student):
    with tf.GradientTape() as tape:
        tape.watch(student)
        losses = objective(labels, teacher, student, seed=tf.constant([0, 1]))
        total = tf.reduce_sum(losses)
    return losses, tape.gradient(total, student)


def test_the_relations_of_samples_leave_out_what_is_ruled_out():
    teacher, student = patterns("student")
    found, _ = value_and_gradient(objectives.DIST(2.0, 0.5), labels(), teacher, student)
    possible = np.isfinite(student)
    p, q = softmax(np.where(possible, teacher, -np.inf)), softmax(student)
    inter = [1 - np.corrcoef(a[m], b[m])[0, 1] for a, b, m in zip(p, q, possible, strict=True)]
    intra = [
        1 - np.corrcoef(a[m], b[m])[0, 1] for a, b, m in zip(p.T, q.T, possible.T, strict=True)
    ]
    np.testing.assert_allclose(found, 2.0 * np.array(inter) + 0.5 * np.mean(intra), rtol=1e-7)


def test_a_permutation_leaves_ruled_out_classes_where_they_are():
    teacher = logits(0)
    highest = teacher.argmax(axis=-1)
    moved = 0
    for step in range(20):
        permuted = np.asarray(permute(teacher, tf.constant([5, step])))
        np.testing.assert_array_equal(permuted[:, RULED_OUT], -np.inf)
        np.testing.assert_array_equal(permuted.argmax(axis=-1), highest)
        np.testing.assert_array_equal(np.sort(permuted), np.sort(teacher))
        moved += np.sum(permuted != teacher)
    assert moved > 200


def test_labels_on_ruled_out_classes_are_very_improbable_and_finite_in_gradient():
    student = logits(1).astype("float32")
    for given in (np.full(7, 1), np.eye(6, dtype="float32")[np.full(7, 1)]):
        losses, gradient = value_and_gradient(objectives.Labels(), given, student, student)
        assert (losses > 1e6).all()
        assert np.isfinite(gradient).all()


class RulingOut(keras.layers.Layer):
    """Rules out classes, as a mask of valid actions does."""

    def call(self, inputs):
        mask = np.zeros(SHAPE[1], "float32")
        mask[RULED_OUT] = -np.inf
        return inputs + mask


def masked(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(SHAPE[1]), RulingOut()])


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "name", [name for name in objectives.OBJECTIVES if "categorical" in objectives.get(name).kinds]
)
@pytest.mark.parametrize("teachers", [1, 2])
def test_models_that_rule_out_classes_are_trained(name, teachers):
    x = np.random.default_rng(0).normal(size=(28, 5)).astype("float32")
    y = np.tile(labels(), 4)
    model = ban_tf.BornAgainModel(masked(0), [masked(1), masked(2)][:teachers], f"{name}")
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=teachers > 1)
    before = model.student.get_weights()
    history = model.fit(x, y, batch_size=14, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values()), history
    kernel = model.student.get_weights()[0]
    assert np.isfinite(kernel).all()
    assert (np.abs(kernel - before[0])[:, POSSIBLE] > 0).any()
    np.testing.assert_array_equal(kernel[:, RULED_OUT], before[0][:, RULED_OUT])
