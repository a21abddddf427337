"""A lineage whose generation 0 has a teacher of its own."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.errors import InputError, RunDirectoryError

OPTIONS = {"epochs": 2, "batch_size": 16, "verbose": 0, "compile": {"optimizer": "sgd"}}


def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(32, 6)).astype("float32"), generator.integers(0, 4, 32)


def network(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(4)]
    return keras.Sequential([keras.Input((6,)), *layers])


def _record(path, seed=1):
    x, _ = data()
    ban_tf.record(network(seed).predict_on_batch, x, path, dtype="float32", verbose=False)
    return ban_tf.RecordedTeacher(path)


def _train(first_teacher, directory=None, generations=1, eagerly=True, **options):
    lineage = ban_tf.Lineage(
        network(), generations, "kd", directory, first_teacher=first_teacher, **options
    )
    try:
        compile = {"optimizer": "sgd", "run_eagerly": eagerly}
        return lineage.fit(*data(), **{**OPTIONS, "compile": compile})
    finally:
        if directory is not None:
            lineage.directory.close()


def test_it_learns_the_same_from_a_model_a_recording_and_a_function(tmp_path):
    recorded, model = _record(tmp_path / "r"), network(1)
    trained = [_train(given) for given in (model, recorded, [(recorded, 1.0), (model, 3.0)])]
    trained.append(_train(model.predict_on_batch, eagerly=False))
    assert [generation.taught_by for generation in trained[0].generations] == [
        "a given teacher",
        "generation 0",
    ]
    for other in trained[1:]:
        for number in (0, 1):
            for ours, theirs in zip(
                other.generations[number].weights,
                trained[0].generations[number].weights,
                strict=True,
            ):
                np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_resumed_run_has_the_same_one(tmp_path):
    recorded = _record(tmp_path / "r")
    first = _train(recorded, tmp_path / "run", generations=0)
    again = _train(recorded, tmp_path / "run", generations=1)
    np.testing.assert_array_equal(first.generations[0].weights[0], again.generations[0].weights[0])
    for other in (_record(tmp_path / "s", seed=2), network(1), None):
        with pytest.raises(RunDirectoryError, match="`first_teacher` was a teacher"):
            _train(other, tmp_path / "run", generations=1)


def test_what_cannot_teach_generation_0_is_refused(tmp_path):
    recorded = _record(tmp_path / "r")
    with pytest.raises(InputError, match="`first_model` is generation 0"):
        _train(recorded, first_model=network(1))
    with pytest.raises(InputError, match="`first_teacher` does nothing"):
        ban_tf.Lineage(network(), 1, "labels", first_teacher=recorded)
    x, y = data()
    lineage = ban_tf.Lineage(network(), 1, "kd", first_teacher=recorded)
    with pytest.raises(InputError, match="`x` holds 32 of 32 examples that"):
        lineage.fit(x * 2, y, **OPTIONS)
    small = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="`teacher` has 4 classes, but the student has 3"):
        ban_tf.Lineage(small, 1, "kd", first_teacher=network(1))
