"""Keras's distillation losses as further terms, in the one pass of each model."""

import keras
import numpy as np
import pytest
from twins import CLASSES, assert_equal_weights, data, network, sgd

import ban_tf

layers = keras.layers
FeatureDistillation = keras.distillation.FeatureDistillation
LogitsDistillation = keras.distillation.LogitsDistillation


def named(seed, prefix, width=8, activation=None):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(width, activation="tanh", name=f"{prefix}_hidden"),
            layers.Dropout(0.5, seed=7),
            layers.Dense(CLASSES, activation=activation, name=f"{prefix}_out"),
        ]
    )


def features(loss="mse"):
    return FeatureDistillation(loss, "teacher_hidden", "student_hidden")


def born_again(terms, optimizer=None, student=None, teacher=None, run_eagerly=True, **options):
    student = student or named(0, "student")
    model = ban_tf.BornAgainModel(
        student, teacher or named(1, "teacher"), distillation_losses=terms, **options
    )
    model.compile(optimizer or sgd(), run_eagerly=run_eagerly)
    return model


def hidden(model, x):
    return np.tanh(x @ model.layers[0].get_weights()[0] + model.layers[0].get_weights()[1])


def test_the_terms_are_weighted_and_added_and_reported():
    x, y = data()
    terms = [(features(), 0.25), features(keras.losses.MeanAbsoluteError())]
    model = born_again(terms, objective="kd", teacher_weight=0.5)
    logs = model.test_on_batch(x, y, return_dict=True)
    difference = hidden(model.teacher.models[0], x) - hidden(model.student, x)
    expected = 0.25 * np.mean(difference**2) + np.mean(np.abs(difference))
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)
    total = 0.5 * logs["teacher_loss"] + logs["distillation_loss"]
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-6)


def test_one_step_is_the_hand_written_gradient_of_the_features():
    x, y = data()
    student, teacher = (
        keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(5, name=f"{who}_hidden", use_bias=False),
                layers.Dense(CLASSES),
            ]
        )
        for who in ("student", "teacher")
    )
    ours, theirs = (np.float64(network.get_weights()[0]) for network in (student, teacher))
    gradient = 2 * np.float64(x).T @ (x @ ours - x @ theirs) / (len(x) * 5)
    model = born_again(
        features(),
        keras.optimizers.SGD(0.5),
        student,
        teacher,
        label_weight=0.0,
        teacher_weight=0.0,
        run_eagerly=False,
    )
    model.train_on_batch(x, y)
    np.testing.assert_allclose(student.get_weights()[0], ours - 0.5 * gradient, atol=1e-6)


def test_both_models_run_once_a_step():
    calls = []

    class Counts(layers.Layer):
        def call(self, inputs, training=None):
            calls.append((self.name, bool(training)))
            return inputs

    def counted(who):
        return keras.Sequential(
            [
                keras.Input((6,)),
                Counts(name=who),
                layers.Dense(4, name=f"{who}_hidden"),
                layers.Dense(CLASSES),
            ]
        )

    x, y = data(8)
    model = ban_tf.BornAgainModel(
        counted("student"),
        teacher=counted("teacher"),
        distillation_losses=[features()],
        objective="kd",
    )
    model.compile(sgd(), run_eagerly=True)
    calls.clear()
    model.train_on_batch(x, y)
    assert sorted(calls) == [("student", True), ("teacher", False)]
    calls.clear()
    model.test_on_batch(x, y)
    assert sorted(calls) == [("student", False), ("teacher", False)]


@pytest.mark.nightly
def test_a_term_of_weight_zero_changes_nothing():
    x, y = data()
    students = [named(0, "student"), named(0, "student")]
    for student, terms in zip(students, (None, [(features(), 0.0)]), strict=True):
        model = born_again(terms, student=student)
        model.fit(x, y, epochs=2, batch_size=32, shuffle=False, verbose=0)
    assert_equal_weights(*students, atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_logits_distillation_sees_logits_whatever_the_models_end_in(activation):
    x, y = data()
    student = named(0, "student", activation=activation)
    teacher = named(1, "teacher", activation=activation)
    loss = LogitsDistillation(temperature=2.0, loss=keras.losses.KLDivergence())
    model = born_again([loss], student=student, teacher=teacher, temperature=2.0)
    logs = model.test_on_batch(x, y, return_dict=True)
    np.testing.assert_allclose(logs["distillation_loss"], logs["teacher_loss"], rtol=1e-4)


@pytest.mark.nightly
def test_a_loss_without_layer_names_sees_the_outputs_as_they_are():
    x, y = data()
    student, teacher = (named(0, "student", 8, "softmax"), named(1, "teacher", 8, "softmax"))
    model = born_again([FeatureDistillation("mae")], student=student, teacher=teacher)
    logs = model.test_on_batch(x, y, return_dict=True)
    expected = np.mean(np.abs(student(x) - teacher(x)))
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-5)


@pytest.mark.nightly
def test_models_with_two_inputs_masks_and_regularization_keep_them():
    tokens = np.random.default_rng(0).integers(1, 9, (8, 5))
    tokens[:, 3:] = 0
    labels = tokens % CLASSES

    def build(seed, who):
        keras.utils.set_random_seed(seed)
        left = keras.Input((5,), dtype="int32", name="tokens")
        right = keras.Input((5, 2), name="extra")
        embedded = layers.Embedding(9, 4, mask_zero=True, name=f"{who}_embedded")(left)
        both = layers.Concatenate()([embedded, right])
        regularizer = keras.regularizers.L2(0.1)
        out = layers.Dense(CLASSES, kernel_regularizer=regularizer)(both)
        return keras.Model({"tokens": left, "extra": right}, {"tags": out})

    x = {"tokens": tokens, "extra": np.ones((8, 5, 2), "float32")}
    logs = []
    for weight in (None, 0.0):
        term = FeatureDistillation("mse", "teacher_embedded", "student_embedded")
        model = ban_tf.BornAgainModel(
            build(0, "student"),
            teacher=build(1, "teacher"),
            distillation_losses=None if weight is None else [(term, weight)],
            objective="kd",
        )
        model.compile(sgd(), run_eagerly=True)
        if weight is None:
            logs.append(model.train_on_batch(x, {"tags": labels}, return_dict=True))
        else:
            with pytest.warns(UserWarning, match="not for `distillation_losses`"):
                logs.append(model.train_on_batch(x, {"tags": labels}, return_dict=True))
    for name, value in logs[0].items():
        np.testing.assert_allclose(logs[1][name], value, rtol=1e-6)
    assert logs[1]["distillation_loss"] == 0


class Correlation(keras.distillation.DistillationLoss):
    """A user's own: it compares the examples of a batch with each other."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        theirs, ours = (
            array @ keras.ops.transpose(array) for array in (teacher_outputs, student_outputs)
        )
        return keras.ops.mean(keras.ops.square(theirs - ours))


def test_a_loss_of_the_users_own():
    x, y = data()
    model = born_again([(Correlation(), 2.0)])
    logs = model.test_on_batch(x, y, return_dict=True)
    teacher, student = (
        np.asarray(network(x)) for network in (model.teacher.models[0], model.student)
    )
    expected = 2 * np.mean((teacher @ teacher.T - student @ student.T) ** 2)
    np.testing.assert_allclose(logs["distillation_loss"], expected, rtol=1e-4)


class Subclass(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": "mse"}, "`distillation_losses` must be"),
        ({"terms": [(features(), -1.0)]}, "-1.0 for FeatureDistillation"),
        ({"terms": [features()], "teacher": [network(1), network(2)]}, "single Keras model"),
        ({"terms": [features()], "teacher": ban_tf.RecordedTeacher()}, "single Keras model"),
        (
            {"terms": [FeatureDistillation("mse", "teacher_hidden", "no")]},
            "The student .* has no layer 'no'",
        ),
        ({"terms": [FeatureDistillation("mse", "no", "student_hidden")]}, "In teacher model"),
        ({"terms": [features()], "student": Subclass()}, "that is a Functional or a built"),
    ],
)
def test_terms_that_do_not_suit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        born_again(**options)


def test_features_of_different_width_are_refused_before_training():
    with pytest.raises(ValueError, match="compares features of one shape"):
        born_again([features()], teacher=named(1, "teacher", width=5))


def test_the_divergence_that_keras_takes_of_logits_is_warned_of():
    with pytest.warns(UserWarning, match="divergence of logits"):
        born_again([LogitsDistillation()])


@pytest.mark.nightly
def test_a_term_in_mixed_precision_is_that_of_float32():
    x, y = data()
    logs = []
    for policy in ("float32", "mixed_bfloat16"):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        student = named(0, "student")
        keras.config.set_dtype_policy(before)
        logs.append(born_again([features()], student=student).test_on_batch(x, y, return_dict=True))
    np.testing.assert_allclose(*(log["distillation_loss"] for log in logs), rtol=3e-2)
