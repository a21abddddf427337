"""Models with several outputs, of which some are distilled and others learn from labels."""

import keras
import numpy as np
import pytest
from twins import CLASSES, assert_equal_weights, data, sgd, softmax

import ban_tf

layers = keras.layers


def two_heads(seed, form=dict, names=("kind", "size")):
    """A classification and a regression on one trunk."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    trunk = layers.Dense(8, activation="tanh")(inputs)
    kind = layers.Dense(CLASSES, name=names[0])(trunk)
    size = layers.Dense(1, name=names[1])(trunk)
    outputs = {"kind": kind, "size": size} if form is dict else [kind, size]
    return keras.Model(inputs, outputs)


def targets(form=dict):
    x, y = data()
    size = x.sum(axis=-1, keepdims=True)
    return x, {"kind": y, "size": size} if form is dict else [y, size]


# No loss says so of an output that learns from the teacher alone.
KINDS = {"kind": "categorical"}
FIT = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", [dict, list])
def test_one_output_learns_from_the_teacher_and_the_other_from_labels(form):
    x, y = targets(form)
    teacher = two_heads(1, form)
    plain, student = two_heads(0, form), two_heads(0, form)
    predicted = teacher.predict(x, verbose=0)
    soft = softmax(predicted["kind"] if form is dict else predicted[0])
    both = {"kind": keras.losses.CategoricalCrossentropy(from_logits=True), "size": "mse"}
    plain.compile(sgd(), both, loss_weights={"kind": 0.5, "size": 0.2})
    plain.fit(x, {**y, "kind": soft} if form is dict else [soft, y[1]], **FIT)
    model = ban_tf.BornAgainModel(
        student,
        teacher=teacher,
        objective={"kind": "kd"},
        teacher_weight=0.5,
        output_kind=KINDS,
    )
    size_only = {"kind": None, "size": "mse"}
    model.compile(sgd(), size_only, loss_weights={"kind": 1.0, "size": 0.2})
    history = model.fit(x, y, **FIT).history
    assert_equal_weights(student, plain, atol=1e-6)
    assert {"loss", "label_loss", "teacher_loss"} <= set(history)


@pytest.mark.nightly
@pytest.mark.parametrize("form", [dict, list])
def test_without_a_teacher_several_outputs_train_as_in_plain_keras(form):
    x, y = targets(form)
    models = [two_heads(0, form), ban_tf.BornAgainModel(two_heads(0, form))]
    losses = {
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "size": "mse",
    }
    weights = np.linspace(0, 2, len(x))
    weights = {"kind": weights, "size": weights[::-1]} if form is dict else [weights, weights[::-1]]
    histories = []
    for model in models:
        model.compile(sgd(), losses, metrics={"kind": "accuracy", "size": "mae"})
        histories.append(model.fit(x, y, sample_weight=weights, **FIT).history)
    assert_equal_weights(models[1].student, models[0], atol=0)
    plain, ours = histories
    assert ours == plain


@pytest.mark.nightly
def test_outputs_without_a_name_in_common_belong_together_by_their_order():
    x, y = targets(list)
    students = []
    for names in (("kind", "size"), ("head_a", "head_b")):
        teacher = two_heads(1, list, names)
        students.append(two_heads(0, list))
        model = ban_tf.BornAgainModel(
            students[-1], teacher=teacher, objective={"kind": "kd"}, output_kind=KINDS
        )
        model.compile(sgd(), {"kind": None, "size": "mse"})
        model.fit(x, y, **FIT)
    assert_equal_weights(*students, atol=0)


@pytest.mark.nightly
def test_recorded_outputs_may_hold_the_distilled_ones_alone():
    x, y = targets()
    teacher = two_heads(1)
    students = [two_heads(0), two_heads(0)]
    recorded = {"kind": teacher.predict(x, verbose=0)["kind"]}
    given = [(teacher, y), (ban_tf.RecordedTeacher(), {"labels": y, "teacher_logits": recorded})]
    for student, (each, labels) in zip(students, given, strict=True):
        model = ban_tf.BornAgainModel(
            student, teacher=each, objective={"kind": "kd"}, output_kind=KINDS
        )
        model.compile(sgd(), {"size": "mse"})
        model.fit(x, labels, **FIT)
    assert_equal_weights(*students, atol=1e-6)


@pytest.mark.nightly
def test_sample_weights_by_output_count_for_the_teacher_term_of_that_output():
    x, y = targets()
    teacher = two_heads(1)
    half = np.repeat([1.0, 0.0], len(x) // 2)
    weights = {"kind": half, "size": np.zeros(len(x))}
    logs = []
    for spoilt in (False, True):
        inputs = x.copy()
        if spoilt:
            inputs[half == 0] = 9.0
        model = ban_tf.BornAgainModel(
            two_heads(0), teacher, objective={"kind": "kd"}, output_kind=KINDS
        )
        model.compile(sgd(), {"size": "mse"})
        logs.append(model.test_on_batch(inputs, y, weights, return_dict=True))
    np.testing.assert_allclose(logs[0]["teacher_loss"], logs[1]["teacher_loss"], rtol=1e-6)
    assert logs[0]["label_loss"] == logs[1]["label_loss"] == 0


def test_outputs_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="`objective` names the outputs color"):
        ban_tf.BornAgainModel(two_heads(0), objective={"color": "kd"})
    one_head = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES)])
    with pytest.raises(ValueError, match="`teacher` has no output 'kind'"):
        ban_tf.BornAgainModel(two_heads(0), teacher=one_head, objective="kd")


def unnamed_heads(seed, before=0, backwards=False):
    """Two heads whose names Keras counts on from the layers that were made before them."""
    keras.backend.clear_session()
    for _ in range(before):
        layers.Dense(1)
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    trunk = layers.Dense(8, activation="tanh")(inputs)
    ends = [None, "softmax"] if backwards else ["softmax", None]
    heads = [layers.Dense(CLASSES, activation=end)(trunk) for end in ends]
    return keras.Model(inputs, heads[::-1] if backwards else heads)


def divergence(p, q):
    return np.mean(np.sum(p * np.log(p / q), axis=-1))


@pytest.mark.first_cases(2)
@pytest.mark.parametrize(
    ("options", "shared"), [({"before": 1}, 1), ({"backwards": True}, 2)], ids=["some", "swapped"]
)
@pytest.mark.parametrize("several", [False, True])
def test_outputs_whose_names_are_counted_belong_together_by_their_order(options, shared, several):
    x, y = data()
    student, teachers = unnamed_heads(0), [unnamed_heads(1, **options)]
    assert len(set(student.output_names) & set(teachers[0].output_names)) == shared
    if several:
        teachers.insert(0, unnamed_heads(2))
    model = ban_tf.BornAgainModel(student, teachers, objective="kd")
    model.compile(sgd(), ["sparse_categorical_crossentropy", as_logits()])
    found = model.evaluate(x, [y, y], verbose=0, return_dict=True)["teacher_loss"]
    theirs = np.mean([as_probabilities(teacher, x) for teacher in teachers], axis=0)
    ours = as_probabilities(student, x)
    expected = sum(divergence(p, q) for p, q in zip(theirs, ours, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def as_logits():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def as_probabilities(model, x):
    first, second = model.predict(x, verbose=0)
    return np.float64([first, softmax(second)])
