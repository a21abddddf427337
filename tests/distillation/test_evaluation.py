"""Evaluating and predicting change nothing, and what trains moves once a step."""

import keras
import numpy as np
import pytest
from twins import CLASSES, data, softmax

import ban_tf

layers = keras.layers


def noisy(seed, activation=None):
    """A network with everything that differs between training and inference."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.GaussianNoise(0.5, seed=seed),
            layers.Dense(8, name="hidden"),
            layers.BatchNormalization(momentum=0.5, name="normalized"),
            layers.Dropout(0.5, seed=seed),
            layers.Dense(CLASSES, activation=activation),
        ]
    )


def born_again(**options):
    model = ban_tf.BornAgainModel(noisy(0), teacher=noisy(1), **options)
    model.compile(keras.optimizers.SGD(0.1))
    return model


FEATURE = [keras.distillation.FeatureDistillation("mse", "normalized", "normalized")]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("further", [None, FEATURE], ids=["objective", "and-features"])
@pytest.mark.parametrize("objective", ["kd+labels", "dkpp"])
def test_evaluating_and_predicting_leave_everything_as_it_was(objective, further):
    x, y = data()
    model = born_again(objective=objective, distillation_losses=further)
    model.train_on_batch(x, y)
    measured = {id(item) for item in model.metrics_variables}
    state = [item for item in model.variables if id(item) not in measured]
    state += [*model.optimizer.variables, *model.teacher.models[0].variables]
    before = [np.array(entry) for entry in state]
    results = [model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True) for _ in range(3)]
    predictions = [model.predict(x, verbose=0) for _ in range(2)]
    for variable, value in zip(state, before, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    assert results[0] == results[1] == results[2]
    np.testing.assert_array_equal(*predictions)
    np.testing.assert_array_equal(predictions[0], model.student.predict(x, verbose=0))


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("further", [None, FEATURE], ids=["objective", "and-features"])
def test_batch_statistics_move_once_a_training_step_and_the_teachers_never(further):
    x, y = data()
    student = keras.Sequential(
        [
            keras.Input((6,)),
            layers.BatchNormalization(momentum=0.5, name="normalized"),
            layers.Dense(CLASSES),
        ]
    )
    teacher = keras.models.clone_model(student)
    model = ban_tf.BornAgainModel(
        student, teacher=teacher, distillation_losses=further, objective="kd"
    )
    model.compile(keras.optimizers.SGD(0.1))
    model.train_on_batch(x, y)
    mean = student.layers[0].moving_mean.numpy()
    np.testing.assert_allclose(mean, 0.5 * x.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(teacher.layers[0].moving_mean.numpy(), np.zeros(6))


@pytest.mark.nightly
def test_a_softmax_is_softened_once_at_any_temperature():
    x, y = data()
    logits = {"student": noisy(0).predict(x, verbose=0), "teacher": noisy(1).predict(x, verbose=0)}
    p, q = (softmax(logits[name] / 4) for name in ("teacher", "student"))
    expected = 16 * np.mean(np.sum(p * np.log(p / q), axis=-1))
    for first in (None, "softmax"):
        for second in (None, "softmax"):
            model = ban_tf.BornAgainModel(
                noisy(0, first), noisy(1, second), temperature=4.0, objective="kd"
            )
            model.compile(keras.optimizers.SGD(0.1))
            logs = model.test_on_batch(x, y, return_dict=True)
            np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-4)


def test_a_teacher_that_shares_a_layer_with_the_student_is_refused():
    inputs, shared = keras.Input((6,)), layers.Dense(5)
    student = keras.Model(inputs, layers.Dense(CLASSES)(shared(inputs)))
    teacher = keras.Model(inputs, layers.Dense(CLASSES)(shared(inputs)))
    with pytest.raises(ValueError, match="`teacher` shares weights"):
        ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    with pytest.raises(ValueError, match="`teacher` shares weights"):
        ban_tf.BornAgainModel(student, teacher=[noisy(1), student], objective="kd")
    unbuilt = layers.Dense(CLASSES)
    with pytest.raises(ValueError, match="`teacher` shares weights"):
        ban_tf.BornAgainModel(
            keras.Sequential([unbuilt]), teacher=keras.Sequential([unbuilt]), objective="kd"
        )
