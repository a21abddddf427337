"""Teachers that are functions of a NumPy batch, alone and beside Keras models and recordings."""

import functools
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import assert_equal_weights, data, network, softmax

import ban_tf
from ban_tf.errors import InputError

X, Y = data()


def _train(teacher, given=None, student=None, **options):
    student = network() if student is None else student
    model = ban_tf.BornAgainModel(student, teacher, options.pop("objective", "kd"), **options)
    model.compile(keras.optimizers.SGD(0.1))
    given = {"x": X, "y": Y, "batch_size": 8} if given is None else given
    history = model.fit(**given, epochs=2, shuffle=False, verbose=0).history
    return student, history["teacher_loss"]


@functools.cache
def _reference():
    """A student of the model that `logits` computes, and its losses."""
    return _train(network(1))


def _batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return len(X) // 8

    def __getitem__(self, index):
        rows = slice(index * 8, index * 8 + 8)
        return X[rows], Y[rows]


def logits(batch):
    assert isinstance(batch, np.ndarray) and batch.dtype == np.float32
    first, second = network(1).get_weights()[:2], network(1).get_weights()[2:]
    return np.tanh(batch @ first[0] + first[1]) @ second[0] + second[1]


class Tensor:
    """A tensor of another framework, on another device, with a gradient."""

    def __init__(self, array, attached=True):
        self._array, self._attached = array, attached

    def detach(self):
        return Tensor(self._array, False)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        assert not self._attached
        return self._array


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "function",
    [logits, lambda batch: softmax(logits(batch)), lambda batch: Tensor(logits(batch))],
    ids=["logits", "probabilities", "tensors"],
)
def test_a_function_teaches_as_the_model_that_it_computes(function):
    expected, losses = _reference()
    found, ours = _train(function)
    np.testing.assert_allclose(ours, losses, rtol=1e-4)
    assert_equal_weights(found, expected)


@pytest.mark.nightly
def test_a_function_may_predict_with_a_keras_model_in_eager_steps_too():
    student = network()
    model = ban_tf.BornAgainModel(student, network(1).predict_on_batch, "kd")
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    assert_equal_weights(student, _reference()[0])


@pytest.mark.nightly
@pytest.mark.parametrize("make", [_batches, Batches], ids=["dataset", "PyDataset"])
def test_all_kinds_of_data_reach_it(make):
    expected, _ = _reference()
    found, _ = _train(logits, {"x": make()})
    assert_equal_weights(found, expected)


@pytest.mark.nightly
def test_kinds_of_teachers_are_mixed_with_weights(tmp_path):
    network(3).save(tmp_path / "c.keras")
    ban_tf.record(network(2).predict_on_batch, X, tmp_path / "r", dtype="float32", verbose=False)
    recorded = ban_tf.RecordedTeacher(tmp_path / "r")
    expected, losses = _train([(network(1), 0.5), (network(2), 0.2), (network(3), 0.3)])
    mixed = [(logits, 5), (recorded, 2), (str(tmp_path / "c.keras"), 3)]
    found, ours = _train(mixed)
    np.testing.assert_allclose(ours, losses, rtol=1e-4)
    assert_equal_weights(found, expected)
    _, losses = _train([network(1), network(2)])
    found, ours = _train([logits, recorded])
    np.testing.assert_allclose(ours, losses, rtol=1e-4)
    with pytest.raises(InputError, match="`x` holds 32 of 32 examples"):
        _train(mixed, {"x": X + 1, "y": Y})


def test_the_weighted_mean_is_that_of_distributions():
    x = X[:8]
    model = ban_tf.BornAgainModel(network(), [(logits, 3.0), (network(2), 1.0)], "kd")
    model.compile(keras.optimizers.SGD(0.0))
    loss = model.evaluate(x, Y[:8], verbose=0, return_dict=True)["teacher_loss"]
    q, *ends = (np.float64(softmax(network(seed).predict(x, verbose=0))) for seed in (0, 1, 2))
    p = 0.75 * ends[0] + 0.25 * ends[1]
    np.testing.assert_allclose(loss, np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-5)


@pytest.mark.nightly
def test_values_and_two_classes():
    line = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model = ban_tf.BornAgainModel(line, lambda batch: batch.sum(axis=-1), "kd")
    model.compile("sgd", "mse")
    loss = model.evaluate(X, X[:, 0], verbose=0, return_dict=True)["teacher_loss"]
    error = (X.sum(-1) - line.predict(X, verbose=0)[:, 0]) ** 2
    np.testing.assert_allclose(loss, error.mean(), rtol=1e-4)
    unit = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
    model = ban_tf.BornAgainModel(unit, lambda batch: softmax(batch[:, :2]), "kd")
    model.compile("sgd", "binary_crossentropy")
    loss = model.evaluate(X, Y % 2, verbose=0, return_dict=True)["teacher_loss"]
    p, q = np.float64(softmax(X[:, :2])), np.float64(unit.predict(X, verbose=0))
    q = np.concatenate([1 - q, q], axis=-1)
    np.testing.assert_allclose(loss, np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-4)


@pytest.mark.nightly
def test_xla_is_off_as_long_as_a_function_teaches():
    model = ban_tf.BornAgainModel(network(), network(1), "kd")
    model.compile("sgd", jit_compile=True)
    model.teacher = logits
    model.fit(X, Y, verbose=0)
    assert not model.jit_compile
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.compile("sgd", jit_compile=True)
    model.teacher = network(1)
    model.compile("sgd", jit_compile=True)
    model.fit(X, Y, verbose=0)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda batch: batch, "`teacher` has 6 classes, but 4 are needed"),
        (lambda batch: batch[:3, :4], r"must return numbers of shape \[batch, classes\]"),
        (lambda batch: np.full((len(batch), 4), np.nan), "returned numbers that are not finite"),
        (lambda batch: np.full((len(batch), 4), 0.3), "not clear whether they are logits or"),
    ],
)
def test_what_a_function_must_not_return(function, sentence):
    student = network()
    before = student.get_weights()
    with pytest.raises(InputError, match=sentence):
        _train(function, student=student)
    assert_equal_weights(student, network())
    assert len(before) == 4


def _fails(batch):
    try:
        return {}[len(batch)]
    except KeyError:
        raise RuntimeError("one\ntwo")  # noqa: B904


def _ends(batch):
    return next(iter(()))


def test_an_error_of_the_function_is_raised_itself_with_its_traceback():
    with pytest.raises(RuntimeError) as caught:
        _train(_fails)
    assert str(caught.value) == "one\ntwo" and isinstance(caught.value.__cause__, KeyError)
    lines = "".join(traceback.format_exception(caught.value))
    assert "in _fails" in lines and "UnknownError" not in lines and lines.count("\n") < 60
    with pytest.raises(RuntimeError, match="`teacher` raised StopIteration"):
        _train(_ends)


@pytest.mark.nightly
def test_an_error_of_a_function_is_not_that_of_a_later_training():
    with pytest.raises(RuntimeError):
        ban_tf.BornAgainModel(network(), _fails, "kd")(X)
        _train(_fails)
    student = network()
    model = ban_tf.BornAgainModel(student, logits, "kd")
    model.compile(keras.optimizers.SGD(0.1))

    class Raises(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        model.fit(X, Y, callbacks=[Raises()], verbose=0)


def test_teachers_of_other_classes_are_refused_with_what_maps_them(tmp_path):
    ban_tf.record(lambda x: x[:, :5] * 9, X, tmp_path / "r", outputs="logits", verbose=False)
    five = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
    recorded = ban_tf.RecordedTeacher(tmp_path / "r")
    for teacher in (five, recorded, [five, logits], [recorded, network(1)]):
        with pytest.raises(InputError, match=r"`teacher` has 5 classes, but .*MappedTeacher"):
            _train(teacher)


def test_what_is_no_teacher_is_refused():
    for wrong in (5, [network(1), 5], keras.Sequential):
        with pytest.raises(InputError, match="`teacher` must be a Keras model, a path"):
            ban_tf.BornAgainModel(network(), wrong)
    with pytest.raises(InputError, match="`distillation_losses` look into one teacher"):
        loss = keras.distillation.LogitsDistillation()
        ban_tf.BornAgainModel(network(), logits, distillation_losses=loss)
    with pytest.raises(InputError, match=r"mixes a RecordedTeacher\(\) without a path"):
        _train([logits, ban_tf.RecordedTeacher()])
    with pytest.raises(InputError, match=r"teaches outputs of shape \[batch, classes\]"):
        sequence = keras.Sequential([keras.Input((5, 6)), keras.layers.Dense(4)])
        model = ban_tf.BornAgainModel(sequence, logits, "kd")
        model.compile("sgd")
        model.fit(np.zeros((8, 5, 6)), np.zeros((8, 5)), verbose=0)
