"""Several teachers, each with a weight in the mean that a student learns from."""

import keras
import numpy as np
import pytest
from twins import data, network, softmax

import ban_tf
from ban_tf.distillation.teachers import mean_logits, mean_values


def still(teacher, student=None, **options):
    model = ban_tf.BornAgainModel(student or network(), teacher, "kd", **options)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def teacher_loss(model):
    x, y = data()
    return model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)["teacher_loss"]


def divergence(p, q):
    return np.mean(np.sum(p * np.log(p / q), axis=-1))


def wanted(shares):
    x, _ = data()
    ends = [np.float64(softmax(np.asarray(network(seed)(x)))) for seed in (0, 1, 2)]
    return divergence(shares[0] * ends[1] + shares[1] * ends[2], ends[0])


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_student_learns_from_the_weighted_mean(scale):
    model = still([(network(1), 0.7 * scale), (network(2), 0.3 * scale)])
    np.testing.assert_allclose(teacher_loss(model), wanted((0.7, 0.3)), rtol=1e-5)


def test_equal_weights_are_none():
    alike, alone = ([(network(1), 2), (network(2), 2)], [network(1), network(2)])
    np.testing.assert_allclose(teacher_loss(still(alike)), teacher_loss(still(alone)), rtol=1e-6)


def test_one_teacher_may_have_a_weight():
    found = teacher_loss(still([(network(1), 0.3)]))
    np.testing.assert_allclose(found, teacher_loss(still(network(1))), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_formulas_are_those_of_weighted_means(dtype):
    first, second, third = np.random.default_rng(0).normal(size=(3, 5, 4)) * 3
    given = [np.asarray(network, dtype) for network in (first, second, third)]
    found = np.float64(mean_logits(given, [2.0, 1.0, 0.5]))
    ends = [
        np.exp(network) / np.exp(network).sum(-1, keepdims=True)
        for network in (first, second, third)
    ]
    expected = (2.0 * ends[0] + ends[1] + 0.5 * ends[2]) / 3.5
    rtol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(np.exp(found), expected, rtol=rtol)
    found = np.float64(mean_values(given, [2.0, 1.0, 0.5]))
    np.testing.assert_allclose(found, (2.0 * first + second + 0.5 * third) / 3.5, rtol=rtol * 10)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("loss", "activation"), [("binary_crossentropy", "sigmoid"), ("mse", None)]
)
def test_units_and_values_have_weighted_means_too(loss, activation):
    x, _ = data()
    student, *teachers = (network(seed, activation=activation) for seed in (0, 1, 2))
    model = ban_tf.BornAgainModel(student, list(zip(teachers, (3.0, 1.0), strict=True)), "kd")
    model.compile("sgd", loss=loss)
    y = np.random.default_rng(1).uniform(size=(len(x), 4)).astype("float32")
    logs = model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    q, *ends = (np.float64(item.predict(x, verbose=0)) for item in (student, *teachers))
    p = 0.75 * ends[0] + 0.25 * ends[1]
    if activation:
        expected = np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    else:
        expected = np.mean((p - q) ** 2)
    np.testing.assert_allclose(logs["teacher_loss"], expected, rtol=1e-4)


@pytest.mark.nightly
def test_they_are_there_after_saving(tmp_path):
    paths = [str(tmp_path / f"{seed}.keras") for seed in (1, 2)]
    for seed, path in zip((1, 2), paths, strict=True):
        network(seed).save(path)
    from_files = still([(paths[0], 0.9), (paths[1], 0.1)])
    models = still([(network(1), 0.9), (network(2), 0.1)])
    np.testing.assert_allclose(teacher_loss(from_files), wanted((0.9, 0.1)), rtol=1e-5)
    for model, included in ((from_files, False), (models, True)):
        model.save(tmp_path / "whole.keras", include_teacher=included)
        again = keras.models.load_model(tmp_path / "whole.keras")
        np.testing.assert_allclose(teacher_loss(again), wanted((0.9, 0.1)), rtol=1e-5)
    # A file that is away for a while takes its weight along.
    from_files.save(tmp_path / "whole.keras")
    (tmp_path / "2.keras").rename(tmp_path / "away.keras")
    absent = keras.models.load_model(tmp_path / "whole.keras")
    with pytest.raises(ValueError, match=r"saved without its teacher, which was .*2\.keras"):
        teacher_loss(absent)
    absent.save(tmp_path / "again.keras")
    (tmp_path / "away.keras").rename(tmp_path / "2.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(teacher_loss(again), wanted((0.9, 0.1)), rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), "1", True])
def test_weights_must_be_positive(weight):
    with pytest.raises(ValueError, match="`teacher` must give its models positive, finite weights"):
        still([(network(1), weight), (network(2), 1.0)])


def test_weights_for_some_are_refused():
    with pytest.raises(ValueError, match="gives weights to some of its models and none to others"):
        still([(network(1), 0.5), network(2)])


@pytest.mark.parametrize("models", [[3], [None], "teacher.keras"])
def test_models_of_an_online_teacher_are_models(models):
    with pytest.raises(ValueError, match="`models` must be a list of Keras models"):
        ban_tf.OnlineTeacher(models)
