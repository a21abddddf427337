"""Positions without a label: no loss, no weight in the batch and no gradient, in float64."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.losses.losses import LossFunctionWrapper
from twins import CLASSES, softmax

import ban_tf
from ban_tf.distillation import targets

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 5, 3)).astype("float32")
Y = RANDOM.integers(0, CLASSES, (6, 5))
VOID = RANDOM.random(Y.shape) < 0.4
READING = ["cwtm", "importance", "dkd"]
LABEL_FREE = ["kd", "dkpp", "dist"]


def network(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5, 3))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="last")(inputs))


def trained(objective, labels, loss=None, sample_weight=None, run_eagerly=True, **options):
    """One step of plain gradient descent; returns the measurements and the step."""
    student = network(0)
    model = ban_tf.BornAgainModel(student, network(1), objective, label_weight=0.0, **options)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=run_eagerly)
    before = student.get_weights()
    logs = model.train_on_batch(X, labels, sample_weight=sample_weight, return_dict=True)
    step = [new - old for new, old in zip(student.get_weights(), before, strict=True)]
    return logs, step


def sparse(ignore_class=None):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignore_class)


def logits(seed):
    kernel, bias = (np.float64(weight) for weight in network(seed).get_weights())
    return np.float64(X) @ kernel + bias


def reference(objective):
    """The loss over the positions with a label alone, and its step, in float64."""
    valid = ~VOID
    x, y = np.float64(X)[valid], Y[valid]
    t, s = logits(1)[valid], logits(0)[valid]
    p, q = np.exp(t - t.max(-1, keepdims=True)), np.exp(s - s.max(-1, keepdims=True))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    weights = {"cwtm": p.max(-1), "importance": p[np.arange(len(y)), y]}.get(objective)
    if objective in ("cwtm", "importance"):
        weights = weights / weights.sum()
        loss = -np.sum(weights * np.log(q[np.arange(len(y)), y]))
        slope = weights[:, None] * (q - np.eye(CLASSES)[y])
    else:
        loss = np.mean(np.sum(p * np.log(p / q), axis=-1))
        slope = (q - p) / len(y)
    return loss, [-x.T @ slope, -slope.sum(axis=0)]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", ["-1", "ignore_class", "ignore_class by name"])
@pytest.mark.parametrize("objective", ["cwtm", "importance", "kd"])
def test_loss_and_step_are_those_of_the_labeled_positions_alone(objective, form):
    void, loss = (-1, None) if form == "-1" else (255, sparse(255))
    if form == "ignore_class by name":
        loss = {"last": loss}
    labels = np.where(VOID, void, Y)
    logs, step = trained(objective, labels, loss, run_eagerly=False, distill_void=False)
    expected_loss, expected_step = reference(objective)
    np.testing.assert_allclose(logs["teacher_loss"], expected_loss, rtol=1e-5)
    for found, expected in zip(step, expected_step, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


class Subclass(keras.losses.SparseCategoricalCrossentropy):
    pass


class Wrapper(keras.losses.Loss):
    """A loss around another one."""

    def __init__(self, inner):
        super().__init__(name="wrapper")
        self.inner = inner

    def call(self, y_true, y_pred):
        return self.inner.call(y_true, y_pred)


PARTIAL = functools.partial(
    keras.losses.sparse_categorical_crossentropy, from_logits=True, ignore_class=255
)
FORMS = {
    "subclass": Subclass(from_logits=True, ignore_class=255),
    "partial": PARTIAL,
    "partial of a loss": functools.partial(sparse(255)),
    "method": sparse(255).call,
    "function in a loss": LossFunctionWrapper(PARTIAL),
    "arguments in a loss": LossFunctionWrapper(
        keras.losses.sparse_categorical_crossentropy, from_logits=True, ignore_class=255
    ),
    "loss in a loss": LossFunctionWrapper(sparse(255)),
    "loss of one's own around it": Wrapper(sparse(255)),
    "list": [sparse(255)],
    "list in a dictionary": {"last": [PARTIAL]},
}


@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_the_loss_says_which_label_is_none(form):
    assert targets.void_of(FORMS[form], ["last"]) == {"last": 255}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", FORMS)
def test_positions_without_a_label_are_left_out_for_any_form_of_the_loss(form):
    logs, step = trained("cwtm", np.where(VOID, 255, Y), FORMS[form], output_kind="categorical")
    expected_loss, expected_step = reference("cwtm")
    np.testing.assert_allclose(logs["teacher_loss"], expected_loss, rtol=1e-5)
    for found, expected in zip(step, expected_step, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_configuration_of_a_loss_says_which_label_is_none():
    config = keras.losses.serialize(sparse(255))
    assert targets.void_of(config, ["last"]) == {"last": 255}
    assert targets.void_of([config, sparse(7)], ["a", "b"]) == {"a": 255, "b": 7}
    assert targets.void_of({"a": config, "b": None}, ["a", "b"]) == {"a": 255, "b": -1}


def weights_of_labeled():
    return (~VOID).astype("float32") / (~VOID).mean()


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("objective", ["dkd", "progressive", "function"])
def test_other_objectives_that_read_labels_leave_void_out_as_a_weight_of_zero_does(objective):
    def own(labels, teacher_logits, student_logits):
        return keras.ops.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)

    objective = {"progressive": ban_tf.objectives.Progressive("kd", 10), "function": own}.get(
        objective, objective
    )
    found_loss, found = trained(objective, np.where(VOID, -1, Y))
    # The same positions with some label and no weight.
    expected_loss, expected = trained(objective, Y, sample_weight=weights_of_labeled())
    np.testing.assert_allclose(found_loss["teacher_loss"], expected_loss["teacher_loss"], rtol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("objective", LABEL_FREE)
def test_where_no_label_is_read_void_is_distilled_by_default(objective):
    labels = np.where(VOID, 255, Y)
    with_void, _ = trained(objective, labels, sparse(255))
    everywhere, _ = trained(objective, Y, sparse())
    assert with_void["teacher_loss"] == everywhere["teacher_loss"]
    without, _ = trained(objective, labels, sparse(255), distill_void=False)
    assert without["teacher_loss"] != everywhere["teacher_loss"]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("objective", READING + LABEL_FREE)
def test_outputs_of_a_teacher_at_void_positions_have_no_effect(objective):
    labels, steps = np.where(VOID, -1, Y), []
    for noise in (0.0, 50.0):
        student = network(0)
        model = ban_tf.BornAgainModel(
            student, ban_tf.RecordedTeacher(), objective, label_weight=0.0, distill_void=False
        )
        model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
        said = logits(1) + noise * VOID[..., None] * RANDOM.normal(size=X.shape[:2] + (CLASSES,))
        model.train_on_batch(X, {"labels": labels, "teacher_logits": said.astype("float32")})
        steps.append(student.get_weights())
    for one, other in zip(*steps, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["labels", "cwtm", "importance", "dkd"])
@pytest.mark.parametrize("form", ["index", "column", "float", "one-hot"])
def test_an_objective_has_no_loss_and_no_gradient_where_there_is_no_label(name, form):
    labels = np.array([0, -1, 2, -1])
    given = {
        "index": labels,
        "column": labels[:, None],
        "float": labels.astype("float32"),
        "one-hot": np.where(labels[:, None] < 0, 0, np.eye(CLASSES)[labels]),
    }[form]
    teacher = RANDOM.normal(size=(4, CLASSES))
    student = tf.Variable(RANDOM.normal(size=(4, CLASSES)))
    objective = ban_tf.objectives.get(name)
    with tf.GradientTape() as tape:
        losses = objective(given, teacher, student)
    gradient = tape.gradient(losses, student)
    np.testing.assert_array_equal(np.array(losses)[[1, 3]], 0.0)
    np.testing.assert_array_equal(gradient.numpy()[[1, 3]], 0.0)
    assert np.all(np.array(losses)[[0, 2]] > 0)


def test_the_label_cross_entropy_is_the_mean_over_labels_as_ignore_class_makes_it():
    values = logits(0).astype("float32")
    expected = sparse(-1)(np.where(VOID, -1, Y), values)
    found = ban_tf.objectives.LabelCrossEntropy()(np.where(VOID, -1, Y), values)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    q = softmax(logits(0))[~VOID]
    by_hand = -np.mean(np.log(q[np.arange(len(q)), Y[~VOID]]))
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_units_without_an_answer_are_left_out_one_by_one():
    answers = RANDOM.integers(0, 2, (6, 5, 3))
    unknown = RANDOM.random(answers.shape) < 0.3
    model = ban_tf.BornAgainModel(
        keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(3, "sigmoid")])
    )
    model.compile("sgd")
    found = model.test_on_batch(X, np.where(unknown, -1, answers), return_dict=True)["loss"]
    yes = np.float64(model.student.predict(X, verbose=0))
    losses = -np.log(np.where(answers == 1, yes, 1 - yes))
    np.testing.assert_allclose(found, losses[~unknown].mean(), rtol=1e-5)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("option", [{"distill_void": False}, {"check_data": False}])
def test_what_was_chosen_is_saved(option, tmp_path):
    model = ban_tf.BornAgainModel(network(0), objective="kd", **option)
    model.compile("sgd")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, value in option.items():
        assert getattr(loaded, name) is value


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
@pytest.mark.parametrize("objective", ["cwtm", "importance", "kd"])
def test_narrow_integers_mark_positions_without_a_label_as_others_do(objective, dtype):
    labels = np.where(VOID, 255, Y).astype(dtype)
    logs, step = trained(objective, labels, sparse(255), distill_void=False)
    expected_loss, expected_step = reference(objective)
    np.testing.assert_allclose(logs["teacher_loss"], expected_loss, rtol=1e-5)
    for found, expected in zip(step, expected_step, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8"])
@pytest.mark.parametrize("objective", ["kd+labels", "cwtm", "dkd"])
def test_bool_labels_of_binary_outputs_train_as_numbers_do(objective, dtype):
    found = []
    labels = RANDOM.integers(0, 2, (6, 5, CLASSES))
    for array in (labels.astype(dtype), labels.astype("int32")):
        student = network(0)
        model = ban_tf.BornAgainModel(student, network(1), objective)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile("sgd", loss, run_eagerly=True)
        model.fit(X, array, verbose=0)
        found.append(student.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
