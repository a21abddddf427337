"""Objectives by name, by function and by configuration."""

import keras
import numpy as np
import pytest

from ban_tf import objectives


@pytest.mark.parametrize(
    ("name", "kind", "label_weight"),
    [
        ("kd", objectives.BAN, 0.0),
        ("kd+labels", objectives.DarkKnowledge, 1.0),
        ("cwtm", objectives.CWTM, 0.0),
        ("dkpp+labels", objectives.DKPP, 1.0),
        ("labels", objectives.Labels, 1.0),
    ],
)
def test_names_say_what_is_matched_and_whether_labels_count(name, kind, label_weight):
    objective, weight = objectives.resolve(name)
    assert type(objective) is kind
    assert weight == label_weight


def squared_difference(labels, teacher_logits, student_logits):
    return keras.ops.sum(keras.ops.square(teacher_logits - student_logits), axis=-1)


def test_a_plain_function_is_an_objective_and_is_found_again(monkeypatch, tmp_path):
    (tmp_path / "own_objective.py").write_text(
        "def absolute(labels, teacher_logits, student_logits):\n"
        "    return abs(teacher_logits - student_logits).sum(axis=-1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    objective = objectives.get("own_objective:absolute")
    np.testing.assert_array_equal(objective(None, np.ones((2, 3)), np.zeros((2, 3))), [3, 3])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert again.function is objective.function
    own = objectives.get(squared_difference)
    np.testing.assert_array_equal(own(None, 2 * np.ones((2, 3)), np.zeros((2, 3))), [12, 12])


@pytest.mark.parametrize(
    "objective",
    [
        objectives.Labels(0.1),
        objectives.DarkKnowledge(3.0, standardise=True),
        objectives.ConfidenceWeighted(),
        objectives.ImportanceWeighted(),
        objectives.PermutedDarkKnowledge(2.0),
    ],
)
def test_configurations_survive_serialisation(objective):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert type(again) is type(objective)
    assert again.get_config() == objective.get_config()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("cwtn", "did you mean cwtm"),
        ("nowhere:loss", "nowhere"),
        ("json:nothing", "nothing"),
        (3, "`objective`"),
    ],
)
def test_what_is_no_objective_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        objectives.get(wrong)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_must_be_positive_and_finite(temperature):
    with pytest.raises(ValueError, match="`temperature`"):
        objectives.DarkKnowledge(temperature)
