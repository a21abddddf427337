"""BANE: the mean of its members, in a file that plain Keras loads."""

import sys

import keras
import numpy as np
import pytest
import warm

import ban_tf
from ban_tf.distillation.ensemble import ensemble


def _member(seed, softmax=False):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    hidden = keras.layers.BatchNormalization()(hidden)
    return keras.Model(inputs, keras.layers.Dense(4, "softmax" if softmax else None)(hidden))


def _outputs(model, x):
    return keras.tree.map_structure(np.asarray, model(x))


def _softmax(logits):
    shifted = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_probabilities_are_the_mean_of_the_members(count, softmax):
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    members = [_member(seed, softmax) for seed in range(count)]
    raw = [_outputs(member, x) for member in members]
    expected = np.mean(raw if softmax else [_softmax(output) for output in raw], axis=0)
    mean = ensemble(members, output_kind="categorical")
    np.testing.assert_allclose(_outputs(mean, x), expected, atol=1e-6)


def test_logits_are_averaged_on_request():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    members = [_member(seed) for seed in range(2)]
    expected = np.mean([_outputs(member, x) for member in members], axis=0)
    mean = ensemble(members, average="logits", output_kind="categorical")
    np.testing.assert_allclose(_outputs(mean, x), expected, atol=1e-6)


def test_single_logits_are_the_logits_of_yes():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    keras.utils.set_random_seed(0)
    members = [keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)]) for _ in range(2)]
    expected = np.mean([1 / (1 + np.exp(-_outputs(member, x))) for member in members], axis=0)
    mean = ensemble(members, output_kind="binary")
    np.testing.assert_allclose(_outputs(mean, x), expected, atol=1e-6)


def test_the_file_loads_in_keras_without_this_package(tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    mean = ensemble([_member(seed) for seed in range(2)], output_kind="categorical")
    mean.save(tmp_path / "ensemble.keras")
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, keras, numpy as np\n"
        f"model = keras.models.load_model({str(tmp_path / 'ensemble.keras')!r})\n"
        f"x = np.load({str(tmp_path / 'x.npy')!r})\n"
        f"np.save({str(tmp_path / 'y.npy')!r}, model.predict(x, verbose=0))\n"
        "assert not any(name.startswith('ban_tf') for name in sys.modules)\n"
    )
    warm.run([sys.executable, "-c", script], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), mean.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "empty"),
        (([_member(0)], "median"), "average"),
        (([_member(0, softmax=True)], "logits"), "probabilities"),
        (([_member(0), keras.Model()],), "Functional or Sequential"),
    ],
)
def test_what_cannot_be_averaged_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ensemble(*arguments)


def _heads(seed, softmax=False):
    """A class head and a head of values of equal shape, under names that Keras counts."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    classes = keras.layers.Dense(3, "softmax" if softmax else None)(inputs)
    return keras.Model(inputs, [classes, keras.layers.Dense(3)(inputs)])


KINDS = ["categorical", "values"]


@pytest.mark.nightly
@pytest.mark.parametrize("softmax", [False, True])
def test_outputs_whose_names_are_counted_belong_together_by_their_order(softmax):
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    keras.backend.clear_session()
    members = [_heads(seed, softmax) for seed in range(2)]
    keras.backend.clear_session()
    keras.layers.Dense(1)  # the next model shares one name, in another place
    members.append(_heads(2, softmax))
    assert members[2].output_names[0] == members[0].output_names[1]
    raw = [_outputs(member, x) for member in members]
    classes = [output[0] if softmax else _softmax(output[0]) for output in raw]
    expected = [np.mean(classes, axis=0), np.mean([output[1] for output in raw], axis=0)]
    kinds = dict(zip(members[0].output_names, KINDS, strict=True))
    loss = ["categorical_crossentropy" if softmax else _from_logits(), "mse"]
    for options in ({"output_kind": kinds}, {"loss": loss}):
        found = _outputs(ensemble(members, **options), x)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def _from_logits():
    return keras.losses.CategoricalCrossentropy(from_logits=True)


@pytest.mark.nightly
def test_the_heads_of_a_lineage_are_averaged_by_their_own_kind():
    random = np.random.default_rng(0)
    x, values = random.normal(size=(16, 5)).astype("float32"), random.normal(size=(16, 3))
    labels = np.eye(3)[random.integers(0, 3, 16)]
    lineage = ban_tf.Lineage(lambda: _heads(None), generations=2, objective="kd+labels")
    compile = {"optimizer": "sgd", "loss": [_from_logits(), "mse"], "run_eagerly": True}
    lineage.fit(x, [labels, values], compile=compile, verbose=0)
    raw = [_outputs(lineage.model(number), x) for number in (0, 1, 2)]
    found = lineage.ensemble([0, 1, 2]).predict(x, verbose=0)
    expected = np.mean([_softmax(output[0]) for output in raw], axis=0)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    np.testing.assert_allclose(found[1], np.mean([output[1] for output in raw], axis=0), atol=1e-6)


def test_outputs_in_dictionaries_belong_together_by_key():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    members = []
    for order in (("a", "b"), ("b", "a")):
        inputs = keras.Input((5,))
        heads = {name: keras.layers.Dense(3, name=name)(inputs) for name in order}
        members.append(keras.Model(inputs, heads))
    raw = [_outputs(member, x) for member in members]
    found = _outputs(ensemble(members, output_kind="values"), x)
    for name in "ab":
        np.testing.assert_allclose(found[name], (raw[0][name] + raw[1][name]) / 2, atol=1e-6)
