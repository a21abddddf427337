"""Copies of a model in training, by `copy` and `pickle`: the teacher comes along."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers
from twins import data, network, sgd

import ban_tf

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}
X, Y = data(24)


def fitted(model):
    return model.fit(X, Y, epochs=2, shuffle=False, verbose=0).history


def compiled(teacher, **options):
    model = ban_tf.BornAgainModel(network(0), teacher, "kd+labels", **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(sgd(), loss, run_eagerly=True)
    return model


TEACHERS = {
    "model": lambda: network(1),
    "list with weights": lambda: [(network(1), 0.7), (network(2), 0.3)],
}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", COPIES)
@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_copy_learns_from_the_same_teacher(form, teacher):
    model = compiled(TEACHERS[teacher](), temperature=2.0, teacher_weight=0.5)
    fitted(model)
    again = COPIES[form](model)
    assert again.teacher.models[0] is not model.teacher.models[0]
    assert again.teacher.weights == model.teacher.weights
    found, expected = fitted(again), fitted(model)
    assert "teacher_loss" in found and set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", COPIES)
def test_a_copy_has_no_other_teacher_than_the_model(form):
    assert COPIES[form](compiled(None)).teacher is None
    assert isinstance(
        COPIES[form](compiled(ban_tf.RecordedTeacher())).teacher, ban_tf.RecordedTeacher
    )


@pytest.mark.nightly
@pytest.mark.parametrize("form", COPIES)
def test_a_copy_keeps_distillation_losses(form):
    features = keras.distillation.FeatureDistillation("mse", "hidden", "hidden")
    student, teacher = network(0), network(1)
    for item in (student, teacher):
        item.layers[0].name = "hidden"
    model = ban_tf.BornAgainModel(student, teacher, distillation_losses=[(features, 0.3)])
    model.compile(sgd(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fitted(model)
    again = COPIES[form](model)
    found, expected = fitted(again), fitted(model)
    for name in ("loss", "distillation_loss", "teacher_loss"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def _projected():
    """Returns a model whose student's features are projected to the width of its teacher's."""
    keras.utils.set_random_seed(1)
    teacher = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="wide"), layers.Dense(4)])
    student = network(0)
    student.layers[0].name = "hidden"
    features = ban_tf.features.FeatureLoss("fitnets", "wide", "hidden")
    model = ban_tf.BornAgainModel(student, teacher, distillation_losses=[(features, 0.3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, run_eagerly=True)
    return model


def _steps(model):
    model.reset_metrics()
    return [model.train_on_batch(X, Y, return_dict=True)["loss"] for _ in range(2)]


def _saved(model, folder, **options):
    model.save(folder / "model.keras", **options)
    return keras.models.load_model(folder / "model.keras")


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", [*COPIES, "with its teacher", "without its teacher", "twice"])
def test_a_copy_goes_on_with_the_moments_of_its_projection(form, tmp_path):
    model = _projected()
    _steps(model)
    if form in COPIES:
        again = COPIES[form](model)
    elif form == "with its teacher":
        again = _saved(model, tmp_path, include_teacher=True)
    else:
        again = _saved(model, tmp_path)
        if form == "twice":  # a model that still waits for its teacher
            again = _saved(copy.deepcopy(again), tmp_path)
        again.teacher = model.teacher.models[0]
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    np.testing.assert_allclose(_steps(again), _steps(model), rtol=1e-5)
