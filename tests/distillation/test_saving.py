"""A student is a plain Keras model when it comes out, and the whole trains on after loading."""

import sys

import keras
import numpy as np
import pytest
import warm
from twins import assert_equal_weights, data, network, sgd

import ban_tf
from ban_tf import objectives


def born_again(teacher, **options):
    model = ban_tf.BornAgainModel(network(), teacher=teacher, **options)
    model.compile(sgd(), metrics=["accuracy"])
    return model


def fit(model, epochs, initial_epoch=0):
    x, y = data()
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    return model.fit(x, y, epochs=epochs, initial_epoch=initial_epoch, **arguments).history


PLAIN = """
import sys
sys.modules["ban_tf"] = None  # any import of it fails
import keras, numpy as np, tensorflow as tf
folder = sys.argv[1]
x = np.load(f"{folder}/x.npy")
model = keras.models.load_model(f"{folder}/student.keras")
np.save(f"{folder}/loaded.npy", model.predict(x, verbose=0))
served = tf.saved_model.load(f"{folder}/exported")
np.save(f"{folder}/served.npy", served.serve(x))
"""


def test_the_student_is_saved_and_exported_without_its_teacher_and_loads_without_ban_tf(tmp_path):
    x, _ = data()
    model = born_again(network(seed=1))
    fit(model, 1)
    student = model.student
    student.save(tmp_path / "student.keras")
    model.export(tmp_path / "exported", verbose=False)  # the student's
    np.save(tmp_path / "x.npy", x)
    warm.run([sys.executable, "-c", PLAIN, str(tmp_path)], check=True)
    expected = student.predict(x, verbose=0)
    for name in ("loaded", "served"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("kept", ["set again", "path", "included"])
def test_training_resumes_after_loading_as_if_it_had_never_stopped(tmp_path, kept):
    teacher = network(seed=1)
    teacher.save(tmp_path / "teacher.keras")
    straight = born_again(teacher, objective="dkpp", seed=3)
    fit(straight, 4)
    given = str(tmp_path / "teacher.keras") if kept == "path" else teacher
    model = born_again(given, objective="dkpp", seed=3)
    fit(model, 2)
    model.save(tmp_path / "whole.keras", include_teacher=kept == "included")
    again = keras.models.load_model(tmp_path / "whole.keras")
    if kept == "set again":
        with pytest.raises(ValueError, match="saved without its teacher"):
            fit(again, 4, initial_epoch=2)
        again.teacher = teacher
    history = fit(again, 4, initial_epoch=2)
    assert {"loss", "teacher_loss", "accuracy"} <= set(history)
    assert_equal_weights(again.student, straight.student, atol=0)
    assert_equal_weights(again.teacher.models[0], teacher, atol=0)


def test_an_hdf5_file_is_for_the_student_alone(tmp_path):
    model = born_again(network(seed=1))
    with pytest.raises(ValueError, match=r"whole\.h5' is an HDF5 file.* `model\.student\.save"):
        model.save(tmp_path / "whole.h5")
    assert not list(tmp_path.iterdir())
    model.student.save(tmp_path / "student.h5")
    assert_equal_weights(keras.models.load_model(tmp_path / "student.h5"), model.student, atol=0)


@pytest.mark.nightly
def test_a_teacher_whose_file_is_gone_is_named_when_it_is_missed(tmp_path):
    x, _ = data()
    network(seed=1).save(tmp_path / "teacher.keras")
    model = born_again(str(tmp_path / "teacher.keras"))
    model.save(tmp_path / "whole.keras")
    (tmp_path / "teacher.keras").unlink()
    again = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises(ValueError, match=r"teacher\.keras; set `teacher`"):
        fit(again, 1)
    again.teacher = None
    assert "teacher_loss" not in fit(again, 1)


def test_everything_that_was_given_is_there_after_loading(tmp_path):
    feature = keras.distillation.FeatureDistillation("mae", "dense", "dense")

    def build():
        inputs = keras.Input((6,))
        return keras.Model(inputs, keras.layers.Dense(4, name="dense")(inputs))

    model = ban_tf.BornAgainModel(
        build(),
        teacher=build(),
        objective={"dense": objectives.DKD(alpha=0.5)},
        label_weight=0.25,
        teacher_weight=0.75,
        distillation_losses=[(feature, 0.5)],
        student_activation="linear",
        teacher_activation="linear",
        seed=9,
    )
    model.compile(keras.optimizers.Adam(0.5), weighted_metrics=["accuracy"])
    model.save(tmp_path / "whole.keras", include_teacher=True)
    again = keras.models.load_model(tmp_path / "whole.keras")
    ours, theirs = again.get_config(), model.get_config()
    assert ours.pop("student")["class_name"] == theirs.pop("student")["class_name"]
    assert ours == theirs
    assert isinstance(again.optimizer, keras.optimizers.Adam)
    x, y = data()
    again_logs, logs = (
        network.evaluate(x, y, return_dict=True, verbose=0) for network in (again, model)
    )
    assert again_logs == logs


def test_recorded_teachers_and_models_without_a_teacher_stay_so(tmp_path):
    for teacher in (ban_tf.RecordedTeacher(), None):
        born_again(teacher).save(tmp_path / "whole.keras")
        again = keras.models.load_model(tmp_path / "whole.keras")
        assert type(again.teacher) is type(teacher)
