"""Objectives inside Keras's own Distiller."""

import keras
import numpy as np
import pytest

from ban_tf import objectives


def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", ["kd", "dkpp", "dist"])
def test_keras_distiller_learns_from_an_objective(name):
    keras.utils.set_random_seed(0)
    distiller = keras.distillation.Distiller(
        teacher=model(),
        student=model(),
        distillation_losses=objectives.as_distillation_loss(name),
        student_loss_weight=0.0,
    )
    distiller.compile(
        optimizer=keras.optimizers.SGD(0.5),
        loss=objectives.LabelCrossEntropy(),
    )
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(64, 4)).astype("float32"), random.integers(0, 3, 64)
    history = distiller.fit(inputs, labels, epochs=8, batch_size=16, verbose=0).history
    assert history["distillation_loss"][-1] < history["distillation_loss"][0]


def test_the_loss_is_the_mean_over_the_batch():
    teacher, student = np.random.default_rng(0).normal(size=(2, 6, 3))
    objective = objectives.KD(2.0)
    loss = objectives.as_distillation_loss(objective)
    expected = np.mean(objective(None, teacher, student))
    np.testing.assert_allclose(loss.compute_loss(teacher, student), expected)
    np.testing.assert_allclose(
        loss.compute_loss([teacher, teacher], [student, student]), 2 * expected
    )


@pytest.mark.parametrize("name", ["labels", "cwtm", "importance", "dkd"])
def test_objectives_that_need_labels_are_refused(name):
    with pytest.raises(ValueError, match="needs labels"):
        objectives.as_distillation_loss(name)


@pytest.mark.parametrize("wrong", ["teacher", "student"])
def test_models_that_give_probabilities_are_refused(wrong):
    models = {"teacher": model(), "student": model()}
    models[wrong] = keras.Sequential([models[wrong], keras.layers.Softmax()])
    with pytest.raises(ValueError, match=f"`{wrong}` ends in a softmax"):
        keras.distillation.Distiller(
            **models, distillation_losses=objectives.as_distillation_loss(objectives.KD())
        )


def test_the_loss_survives_saving():
    loss = objectives.as_distillation_loss(objectives.KD(2.0))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.objective.get_config() == loss.objective.get_config()
