"""Objectives for values, against plain NumPy."""

import keras
import numpy as np
import pytest

from ban_tf import objectives

R = np.random.default_rng(0)
T, S, Y = (R.normal(scale=2, size=(7, 5, 3)).astype("float32") for _ in range(3))


def huber(error, delta):
    small = np.abs(error) <= delta
    return np.where(small, error**2 / 2, delta * np.abs(error) - delta**2 / 2)


def bounded(margin):
    student, teacher = (((array - Y).astype("float64") ** 2).sum(-1) for array in (S, T))
    return np.where(student + margin > teacher, student, 0.0)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("mse", ((S - T).astype("float64") ** 2).mean(-1)),
        ("huber", huber(np.float64(S - T), 1.0).mean(-1)),
        (objectives.HuberError(0.3), huber(np.float64(S - T), 0.3).mean(-1)),
        ("bounded", bounded(0.0)),
        (objectives.TeacherBounded(4.0), bounded(4.0)),
    ],
)
def test_losses_are_those_of_the_formula(objective, expected):
    found = objectives.get(objective)(Y, T, S)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    again = objectives.get(keras.saving.serialize_keras_object(objectives.get(objective)))
    np.testing.assert_array_equal(again(Y, T, S), found)


def test_a_better_student_is_left_alone_by_its_bound_and_labels_may_lack_the_last_axis():
    student, teacher, labels = np.float32([[1.0], [3.0]]), np.float32([[2.0], [2.0]]), [0.0, 0.0]
    found = objectives.TeacherBounded()(np.float32(labels), teacher, student)
    np.testing.assert_array_equal(found, [0.0, 9.0])
    with pytest.raises(ValueError, match="`labels` must be values"):
        objectives.TeacherBounded()(np.zeros((2, 3), "float32"), teacher, student)


@pytest.mark.parametrize("name", ["cwtm", "importance", "dkpp", "dkd", "dist", "kd-standardised"])
def test_objectives_for_classes_are_refused_for_values_and_the_other_way_round(name):
    with pytest.raises(ValueError, match=r"'box' is a regression .* mse, huber, bounded or kd"):
        objectives.get(name).for_kind("values", "box")
    for values in ("mse", "huber", "bounded"):
        message = "is for regression outputs, but the output 'kind' is categorical; give kd or"
        with pytest.raises(ValueError, match=message):
            objectives.get(values).for_kind("categorical", "kind")


def test_of_values_kd_is_the_squared_error_and_functions_are_for_all():
    assert isinstance(objectives.get("kd").for_kind("values", "box"), objectives.SquaredError)
    own = objectives.get(lambda labels, teacher, student: student[..., 0])
    for kind in ("categorical", "binary", "values"):
        assert own.for_kind(kind, "box") is own


@pytest.mark.parametrize("arguments", [{"delta": 0.0}, {"delta": -1.0}, {"delta": "a"}])
def test_bad_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="`delta` must be a finite number above 0"):
        objectives.HuberError(**arguments)
    with pytest.raises(ValueError, match="`margin` must be a finite number"):
        objectives.TeacherBounded(-1.0)
