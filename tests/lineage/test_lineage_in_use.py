"""A lineage of a user's own models and data: what goes in, and what can be read off it."""

import keras
import numpy as np
import pandas as pd
import pytest

import ban_tf

layers = keras.layers


def two_inputs():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    hidden = layers.Dense(8, activation="tanh", name="hidden")(layers.Concatenate()([left, right]))
    return keras.Model({"left": left, "right": right}, layers.Dense(3, name="out")(hidden))


def data(examples=32):
    x = np.random.default_rng(0).normal(size=(examples, 6)).astype("float32")
    return {"left": x[:, :4], "right": x[:, 4:]}, x[:, :3].argmax(-1)


def test_everything_that_fit_takes_and_all_that_can_be_read_off(capsys):
    x, y = data()
    seen = []

    def callbacks(generation):
        rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / 10**generation)
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: seen.append(generation))
        return [rate, note]

    feature = keras.distillation.FeatureDistillation("mse", "hidden", "hidden")
    lineage = ban_tf.Lineage(
        two_inputs, generations=2, objective="kd", distillation_losses=[(feature, 0.5)]
    )
    lineage.fit(
        x,
        y,
        epochs=2,
        batch_size=8,
        validation_split=0.25,
        sample_weight=np.ones(len(y)),
        verbose=0,
        callbacks=callbacks,
        compile={"optimizer": "sgd", "metrics": ["accuracy"], "steps_per_execution": 2},
    )
    assert seen == [0, 0, 1, 1, 2, 2]
    rates = [row["learning_rate"] for row in lineage.history]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    frame = pd.DataFrame(lineage.table())
    assert list(frame["taught_by"]) == ["labels", "generation 0", "generation 1"]
    assert list(frame["epochs"]) == [2, 2, 2]
    last = [kept.history[-1]["val_accuracy"] for kept in lineage.generations]
    assert list(frame["val_accuracy"]) == last
    assert frame["distillation_loss"].isna().tolist() == [True, False, False]
    lineage.summary()
    printed = capsys.readouterr().out.splitlines()
    assert printed == str(lineage).splitlines() and len(printed) == 4
    assert "val accuracy" in printed[0] and f"{last[2]:.4f}" in printed[3]
    # The ensemble takes the members' inputs.
    outputs = [lineage.model(k).predict(x, verbose=0) for k in (1, 2)]
    expected = np.mean([np.array(keras.ops.softmax(output)) for output in outputs], axis=0)
    np.testing.assert_allclose(lineage.ensemble().predict(x, verbose=0), expected, atol=1e-6)


def test_the_table_shows_the_epoch_whose_weights_were_kept():
    rise_and_fall = [
        {"epoch": epoch, "val_accuracy": value, "loss": 1.0}
        for epoch, value in ((1, 0.5), (2, 0.9), (3, 0.7))
    ]
    shown = []
    for keep in ("last", "best"):
        lineage = ban_tf.Lineage(two_inputs, generations=0, keep=keep)
        assert str(lineage) == "no generation yet"
        lineage.generations.append(ban_tf.Generation(0, "labels", [], rise_and_fall, []))
        shown.append(lineage.table()[0]["val_accuracy"])
    assert shown == [0.7, 0.9]


def test_a_model_with_adapted_preprocessing_is_cloned_with_what_it_adapted_to():
    x, y = data()
    normalization = layers.Normalization()
    normalization.adapt(100 + 50 * x["left"])
    first = keras.Sequential([keras.Input((4,)), normalization])
    model = keras.Sequential([keras.Input((4,)), first, layers.Dense(3)])
    lineage = ban_tf.Lineage(model, generations=1)
    compile = {"optimizer": keras.optimizers.SGD(0.0), "run_eagerly": True}
    lineage.fit(100 + 50 * x["left"], y, compile=compile)
    for number in (0, 1):
        generation = lineage.model(number)
        np.testing.assert_allclose(generation.layers[0].layers[0].mean, normalization.mean)
        assert not np.allclose(generation.layers[1].kernel, model.layers[1].kernel)


@pytest.mark.nightly
def test_generations_are_announced_unless_verbose_is_0(tmp_path, capsys):
    x, y = data()
    said = []
    for generations, verbose in ((0, 0), (1, 2)):
        lineage = ban_tf.Lineage(two_inputs, generations=generations, directory=tmp_path)
        lineage.fit(x, y, compile={"optimizer": "sgd", "run_eagerly": True}, verbose=verbose)
        lineage.directory.close()
        said.append(capsys.readouterr().out)
    assert said[0] == ""
    lines = said[1].splitlines()
    assert lines[:2] == [
        "Generation 0 of 1, taught by labels: finished before",
        "Generation 1 of 1, taught by generation 0",
    ]
    assert "teacher_agreement" in said[1]
    assert "0.0" not in repr(lineage.generations)  # no weights


def test_a_generator_that_one_generation_would_use_up_is_refused():
    x, y = data()
    lineage = ban_tf.Lineage(two_inputs, generations=1)
    with pytest.raises(ValueError, match=r"`x` is a generator.*`steps_per_epoch`"):
        lineage.fit(entry for entry in [(x, y)])
    with pytest.raises(ValueError, match="`validation_data` is a generator"):
        lineage.fit(x, y, validation_data=(entry for entry in [(x, y)]))

    def endless():
        while True:
            yield x, y

    lineage.fit(
        endless(), steps_per_epoch=2, compile={"optimizer": "sgd", "run_eagerly": True}, verbose=0
    )
    assert [generation.number for generation in lineage.generations] == [0, 1]


@pytest.mark.nightly
def test_generations_that_start_alike_are_warned_of(caplog):
    x, y = data()

    def seeded():
        keras.utils.set_random_seed(0)
        return two_inputs()

    for build, warned in ((two_inputs, False), (seeded, True)):
        caplog.clear()
        lineage = ban_tf.Lineage(build, generations=1)
        lineage.fit(x, y, compile={"optimizer": "sgd", "run_eagerly": True}, verbose=0)
        assert ("Generation 1 has the same initial weights" in caplog.text) == warned


class Bare(layers.Layer):
    def __init__(self, width):
        super().__init__()

    def call(self, inputs):
        return inputs


def test_models_that_cannot_be_built_again_are_refused_with_a_sentence():
    inputs = keras.Input((4,))
    bare = keras.Model(inputs, layers.Dense(3)(Bare(2)(inputs)))
    with pytest.raises(ValueError, match=r"`build` .* cannot be cloned layer by layer"):
        ban_tf.Lineage(bare)
    with pytest.raises(ValueError, match="`build` must return a Keras model whose weights exist"):
        ban_tf.Lineage(lambda: keras.Sequential([layers.Dense(3)]))
    same = two_inputs()
    with pytest.raises(ValueError, match=r"`build` returned the model .* twice"):
        ban_tf.Lineage(lambda: same)
    with pytest.raises(ValueError, match="`build` must be a Keras model or a function"):
        ban_tf.Lineage("wrn")
