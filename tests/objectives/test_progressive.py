"""From the labels to the teacher."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf import objectives


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (3, 0.3), (10, 1.0), (99, 1.0)])
def test_the_teachers_share_grows_and_stays(step, share):
    generator = np.random.default_rng(0)
    teacher, student = generator.normal(size=(2, 4, 5)).astype("float32")
    labels = generator.integers(0, 5, 4)
    found = objectives.Progressive("kd", steps=10).losses(labels, teacher, student, seed=(7, step))
    kd = objectives.get("kd")(labels, teacher, student)
    label = objectives.get("labels")(labels, teacher, student)
    expected = (1 - share) * np.asarray(label) + share * np.asarray(kd)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_passes_from_labels_to_teacher_as_it_trains():
    """Four steps of it equal two kinds of step, mixed by hand."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 5)).astype("float32")
    y = generator.integers(0, 3, 16)

    def network():
        return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])

    teacher, student, reference = network(), network(), network()
    reference.set_weights(student.get_weights())
    model = ban_tf.BornAgainModel(student, teacher, objectives.Progressive("kd", steps=4))
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for step in range(4):
        by_hand = ban_tf.BornAgainModel(
            reference, teacher, label_weight=1 - step / 4, teacher_weight=step / 4
        )
        by_hand.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
        by_hand.train_on_batch(x[4 * step : 4 * step + 4], y[4 * step : 4 * step + 4])
    for ours, theirs in zip(student.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_it_is_saved_and_found_again():
    objective = objectives.Progressive(objectives.DarkKnowledge(temperature=2.0), steps=5)
    again = objectives.get(keras.saving.serialize_keras_object(objective))
    assert again.steps == 5 and again.objective.temperature == 2.0


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="`steps` must be at least 1"):
        objectives.Progressive("kd", steps=0)
    with pytest.raises(ValueError, match="ConfidenceWeighted weights the labels"):
        objectives.Progressive("cwtm", steps=3)
