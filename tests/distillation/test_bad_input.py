"""One clear sentence for data and models that cannot be right, before any training."""

import keras
import numpy as np
import pytest
from test_fit_data import as_dataset, as_generator, as_py_dataset
from twins import CLASSES, data, network, sgd

import ban_tf

VOID_OF_LOSS = 255


def born_again(**options):
    model = ban_tf.BornAgainModel(network(0), network(1), **options)
    model.compile(sgd())
    return model


def spoilt(array, value):
    array = np.array(array)
    array.reshape(-1)[-1] = value
    return array


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.nan}, "`x` holds NaN"),
        ({"y": CLASSES}, "`y` for output 'output_0' must be classes from 0 to 3.* Received: 4"),
        ({"y": -2}, "`y` for output 'output_0' must be classes from 0 to 3.* Received: -2"),
        ({"sample_weight": np.nan}, "`sample_weight` holds NaN"),
    ],
)
def test_arrays_are_looked_at_before_training(method, change, message):
    x, y = data()
    arrays = {"x": x, "y": y, "sample_weight": np.ones(len(y), "float32")}
    for name, value in change.items():
        arrays[name] = spoilt(arrays[name], value)
    model = born_again()
    before = model.student.get_weights()
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(**arrays, verbose=0)
    for old, new in zip(before, model.student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_soft_and_recorded_labels_and_validation_data_are_looked_at_too():
    x, y = data()
    model = born_again()
    with pytest.raises(ValueError, match=r"`y` for output .* must be distributions.*: nan"):
        model.fit(x, spoilt(np.eye(CLASSES)[y], np.nan), verbose=0)
    out_of_range = r"`y` for output 'output_0' must be classes from 0 to 3.* Received: 9"
    with pytest.raises(ValueError, match=out_of_range):
        model.fit(x, y, validation_data=(x, spoilt(y, 9)), verbose=0)
    model.teacher = ban_tf.RecordedTeacher()
    logits = np.zeros((len(y), CLASSES), "float32")
    with pytest.raises(ValueError, match=out_of_range):
        model.fit(x, {"labels": spoilt(y, 9), "teacher_logits": logits}, verbose=0)
    with pytest.raises(ValueError, match="`y` holds NaN"):
        model.fit(x, {"labels": y, "teacher_logits": spoilt(logits, np.nan)}, verbose=0)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("arrange", "options", "objective"),
    [
        (as_dataset, {}, "dkd"),  # which reads labels itself
        (as_py_dataset, {}, "kd+labels"),
        (as_generator, {}, "kd+labels"),
        (as_dataset, {"jit_compile": True}, "dkd"),
        (as_generator, {"jit_compile": True, "steps_per_execution": 2}, "kd+labels"),
        (as_dataset, {}, "kd+labels"),
        (as_py_dataset, {}, "dkd"),
        (as_generator, {}, "dkd"),
        (as_dataset, {"jit_compile": True}, "kd+labels"),
        (as_generator, {"jit_compile": True, "steps_per_execution": 2}, "dkd"),
    ],
)
def test_in_a_stream_the_step_notices_labels(arrange, options, objective):
    x, y = data()
    model = born_again(objective=objective)
    model.compile(sgd(), **options)
    with pytest.raises(ValueError, match=r"`y` must be classes from 0 to 3.* Received: 7"):
        model.fit(**arrange(x, spoilt(y, 7), None), verbose=0)
    with pytest.raises(ValueError, match=r"`y` must be classes from 0 to 3.* Received: 7"):
        given = arrange(x, spoilt(y, 7), None)
        steps = given.pop("steps_per_epoch", None)
        model.evaluate(**given, steps=steps, verbose=0)


@pytest.mark.nightly
@pytest.mark.parametrize("void", [VOID_OF_LOSS, None])
def test_a_step_compiled_by_xla_does_not_hide_labels_that_the_loss_has_no_class_for(void):
    x, y = data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=void)
    model = ban_tf.BornAgainModel(network(0))
    model.compile(sgd(), loss, jit_compile=True)
    stream = as_dataset(x, spoilt(y, VOID_OF_LOSS), None)
    if void is None:
        with pytest.raises(ValueError, match=r"`y` must be classes .* Received: 255"):
            model.fit(**stream, verbose=0)
    else:
        assert np.isfinite(model.fit(**stream, verbose=0).history["loss"]).all()
    assert model.predict(**stream, verbose=0).shape == (len(x), CLASSES)  # which reads no labels


def test_a_compiled_loss_knows_its_classes():
    x, y = data()
    model = born_again()
    model.compile(sgd(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for wrong in (-1, CLASSES):
        with pytest.raises(
            ValueError, match=f"label {wrong}, .*`ignore_class`.*`check_data=False`"
        ):
            model.fit(x, spoilt(y, wrong), verbose=0)


@pytest.mark.nightly
def test_labels_that_a_loss_ignores_are_let_through():
    x, y = data()
    model = ban_tf.BornAgainModel(network(0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile(sgd(), loss)
    assert np.isfinite(model.evaluate(x, spoilt(y, -1), verbose=0, return_dict=True)["loss"])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_logits_declared_to_be_probabilities_are_refused(role, activation):
    model = born_again(**{f"{role}_activation": activation})
    with pytest.raises(ValueError, match=f"`{role}_activation` is '{activation}', but the outputs"):
        model.fit(*data(), verbose=0)


def test_teachers_that_cannot_teach_are_refused(tmp_path):
    (tmp_path / "teacher.keras").write_text("no archive")
    with pytest.raises(ValueError, match=r"teacher\.keras is not a Keras model"):
        ban_tf.BornAgainModel(network(0), tmp_path / "teacher.keras")
    unbuilt = keras.Sequential([keras.layers.Dense(CLASSES)])
    with pytest.raises(ValueError, match=r"`teacher` .* has no weights yet"):
        ban_tf.BornAgainModel(network(0), unbuilt)
    with pytest.raises(ValueError, match="5 classes, but the student has 4"):
        other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
        ban_tf.BornAgainModel(network(0), [network(1), other])
    with pytest.raises(ValueError, match="both need the same axes"):
        sequence = keras.Sequential([keras.Input((3, 6)), keras.layers.Dense(CLASSES)])
        ban_tf.BornAgainModel(network(0), sequence)


def test_recorded_outputs_that_are_missing_from_training_data_are_an_error():
    x, y = data()
    model = born_again()
    model.teacher = ban_tf.RecordedTeacher()
    with pytest.raises(ValueError, match="the batches bring nothing recorded"):
        model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)  # has the labels to go by
    recorded = {"labels": y, "teacher_logits": np.zeros((len(y), 5), "float32")}
    with pytest.raises(ValueError, match="`teacher` has 5 classes, but the student has 4"):
        model.fit(x, recorded, verbose=0)
    with pytest.raises(ValueError, match=r"`class_weight` does not reach .*`sample_weight`"):
        model.fit(x, recorded, class_weight={0: 2.0}, verbose=0)


@pytest.mark.nightly
def test_a_regression_among_the_outputs_needs_a_loss():
    x, _ = data()
    model = ban_tf.BornAgainModel(keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]))
    model.compile(sgd())
    with pytest.raises(ValueError, match=r"No loss to compute for other labels. Provide a `loss`"):
        model.fit(x, 5 * x[:, 0], verbose=0)
    model.compile(sgd(), "mse")
    model.fit(x, 5 * x[:, 0], verbose=0)


def test_labels_that_are_needed_and_missing_are_an_error():
    with pytest.raises(ValueError, match="`y` is None, but labels count by `label_weight` 1"):
        born_again(objective="kd+labels").fit(data()[0], verbose=0)
