"""What Keras's own distillation tests check of its class, checked of `BornAgainModel`."""

import keras
import numpy as np
import pytest
from twins import CLASSES, data, network

import ban_tf
from ban_tf import objectives


class Subclass(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.hidden = keras.layers.Dense(width, activation="relu")
        self.out = keras.layers.Dense(CLASSES)

    def call(self, inputs):
        return self.out(self.hidden(inputs))


def subclassed_pair():
    keras.utils.set_random_seed(0)
    teacher, student = Subclass(32), Subclass(16)
    teacher(data()[0])
    return teacher, student


def test_calling_the_model_gives_the_students_outputs():
    x, _ = data()
    teacher, student = subclassed_pair()
    model = ban_tf.BornAgainModel(student, teacher, objective="kd")
    found, expected = map(keras.ops.convert_to_numpy, (model(x), student(x)))
    np.testing.assert_array_equal(found, expected)
    assert model(x).shape == (len(x), CLASSES)
    assert model.student is student


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_what_is_no_model_is_refused(role):
    models = {"teacher": network(1), "student": network(0), role: "not a model"}
    with pytest.raises(ValueError, match=f"`{role}`"):
        ban_tf.BornAgainModel(**models)


def test_the_whole_way_from_fit_to_predict():
    teacher, student = subclassed_pair()
    model = ban_tf.BornAgainModel(student, teacher, objective="kd+labels", temperature=2.0)
    model.compile("adam", metrics=["accuracy"])
    x, y = data(48)
    fit = {"epochs": 3, "batch_size": 16, "validation_data": data(16, seed=1), "verbose": 0}
    history = model.fit(x, y, **fit).history
    names = {"loss", "label_loss", "teacher_loss", "teacher_agreement", "accuracy"}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert np.all(np.isfinite(list(history.values())))
    assert history["loss"][-1] < history["loss"][0]
    results = model.evaluate(x, y, verbose=0)
    assert isinstance(results, list) and len(results) == len(names)
    assert np.all(np.isfinite(results))
    predictions = model.predict(x, verbose=0)
    assert predictions.shape == (48, CLASSES) and np.all(np.isfinite(predictions))


@pytest.mark.nightly
@pytest.mark.parametrize(("label_weight", "teacher_weight"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_weights_of_the_two_terms_say_which_counts(label_weight, teacher_weight):
    x, y = data()
    model = ban_tf.BornAgainModel(
        network(0), network(1), label_weight=label_weight, teacher_weight=teacher_weight
    )
    model.compile("sgd")
    logs = model.test_on_batch(x, y, return_dict=True)
    np.testing.assert_allclose(
        logs["loss"], logs["label_loss"] if label_weight else logs["teacher_loss"], rtol=1e-6
    )


def test_the_configuration_makes_an_equal_model():
    model = ban_tf.BornAgainModel(
        network(0), ban_tf.RecordedTeacher(), objective="kd", temperature=3.0, label_weight=0.7
    )
    config = model.get_config()
    again = ban_tf.BornAgainModel.from_config(config)
    assert again.get_config().keys() == config.keys()
    assert again.label_weight == 0.7 and again.objective.temperature == 3.0
    assert again(data()[0]).shape == (32, CLASSES)


def test_outputs_of_another_structure_are_refused_by_an_objective_inside_the_distiller():
    logits = np.ones((2, 3), "float32")
    loss = objectives.as_distillation_loss("kd")
    loss.validate_outputs(logits, logits)
    with pytest.raises(ValueError):
        loss.validate_outputs(logits, {"output": logits})
