"""Runs on pretrained backbones: what generations start from, what is frozen, and resuming."""

import signal
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers

import ban_tf
from ban_tf.architectures import backbones
from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.errors import InputError, OptionsError, RunDirectoryError
from ban_tf.system.signals import Interrupted
from ban_tf.tasks import runner
from ban_tf.tasks.run import Run
from ban_tf.training import freezing


def _network(input_shape, num_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(8, 3, strides=2),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(num_classes),
        ]
    )


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    module = types.ModuleType("backbone_networks")
    _network.__module__ = "backbone_networks"
    module._network = _network
    monkeypatch.setitem(sys.modules, "backbone_networks", module)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of the backbone, with heads of other classes."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("first.keras", "second.weights.h5")):
        keras.utils.set_random_seed(seed)
        model = _network((8, 8, 1), 7)
        model.layers[1].moving_mean.assign(np.linspace(0.1, 0.3, 8))
        (model.save_weights if name.endswith(".h5") else model.save)(folder / name)
    return folder


def _options(directory, **given):
    defaults = {"arch": "backbone_networks:_network", "gens": 1, "epochs": 2, "batch_size": 32}
    defaults |= {"train_examples": 200, "progress": "none", "workdir": str(directory)}
    defaults |= {"report": False}
    return options.check(options.Options(**{**defaults, **given}))


def _weights(directory, number):
    return Run(directory).model(number).get_weights()


def test_all_generations_start_from_the_file_with_fresh_heads(files, tmp_path):
    path = files / "first.keras"
    given = {"weights": str(path), "freeze": "backbone"}
    result = runner.run(_options(tmp_path, **given))
    source = keras.models.load_model(path).get_weights()
    heads = []
    for number in (0, 1):
        trained = _weights(tmp_path, number)
        for ours, theirs in zip(trained[:-2], source[:-2], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        heads.append(trained[-2])
    assert not np.allclose(*heads)
    # The model of a generation is the whole network.
    images, labels = digits.load().test.images, digits.load().test.labels
    wrong = np.mean(Run(tmp_path).predict(images, 1).argmax(-1) != labels)
    assert result["generations"][1]["error"] == pytest.approx(wrong)
    # The file may move, but not change.
    moved = tmp_path / "moved.keras"
    moved.write_bytes(path.read_bytes())
    runner.run(_options(tmp_path, **{**given, "weights": str(moved)}))
    other = {**given, "weights": str(files / "second.weights.h5")}
    with pytest.raises(RunDirectoryError, match="weights was 'a file of hash"):
        runner.run(_options(tmp_path, **other))


@pytest.mark.nightly
def test_generations_may_start_from_random_weights(files, tmp_path):
    path = files / "second.weights.h5"
    given = {"weights": str(path), "fresh": "all", "learning_rate": 1e-9, "weight_decay": 0.0}
    runner.run(_options(tmp_path, **given))
    model = _network((8, 8, 1), 7)
    model.load_weights(path)
    kernel = model.layers[0].kernel
    np.testing.assert_allclose(_weights(tmp_path, 0)[0], kernel, atol=1e-6)
    assert not np.allclose(_weights(tmp_path, 1)[0], kernel, atol=1e-2)


@pytest.mark.nightly
def test_a_backbone_may_learn_more_slowly_or_later(files, tmp_path):
    path = files / "first.keras"
    start = keras.models.load_model(path).get_weights()[0]
    moved = {}
    for name, given in {
        "slow": {"backbone_learning_rate": 1e-3},
        "fast": {},
        "late": {"freeze": "until:1"},
        "random": {"freeze": "until:1", "fresh": "all"},
    }.items():
        runner.run(_options(tmp_path / name, weights=str(path), optimizer="adam", **given))
        moved[name] = [np.abs(_weights(tmp_path / name, g)[0] - start).max() for g in (0, 1)]
    for number in (0, 1):
        assert 0 < moved["slow"][number] < moved["fast"][number] / 50
        assert 0 < moved["late"][number] < moved["fast"][number]
    assert moved["random"][1] > 5 * moved["late"][1]


class _Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == self.epoch * 4 + 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.nightly
@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_a_run_that_unfreezes_resumes_bit_by_bit(stopped, files, tmp_path):
    def build():
        model = _network((8, 8, 1), 10)
        backbones.start(model, "mine:build", files / "first.keras", None, None)
        return model

    data = digits.load().train
    images, labels = data.images[:64].astype("float32") / 255, data.labels[:64]

    def trained(directory, *others):
        lineage = ban_tf.Lineage(build, 1, directory=directory, seed=1)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        arguments = {"compile": {"optimizer": "adam", "loss": loss}, "verbose": 0}
        callbacks = lambda number: [freezing.FreezeUntil(1), *others]  # noqa: E731
        try:
            lineage.fit(images, labels, batch_size=16, epochs=3, callbacks=callbacks, **arguments)
        finally:
            lineage.directory.close()
        return [generation.weights for generation in lineage.generations]

    wanted = trained(tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", _Stop(stopped))
    found = trained(tmp_path / "stopped")
    for ours, theirs in zip(found, wanted, strict=True):
        for first, second in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.nightly
def test_a_backbone_of_keras_is_trained_evaluated_and_exported(tmp_path):
    given = {"arch": "MobileNetV2", "weights": "none", "freeze": "backbone", "epochs": 1, "gens": 1}
    run_options = _pictures(tmp_path, **given)
    result = runner.run(run_options)
    run = Run(run_options.directory)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    raw = run.model(1).predict(images.astype("float32"), verbose=0)
    shares = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    np.testing.assert_allclose(run.predict(images, 1), shares, atol=1e-4)
    assert len(result["generations"]) == 2
    assert run.settings["arch"] == "keras:MobileNetV2"


def _pictures(place, **given):
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for number in range(count):
            for name, level in (("dark", 60), ("light", 190)):
                folder = place / "pictures" / part / name
                folder.mkdir(parents=True, exist_ok=True)
                noise = rng.integers(0, 60, (32, 32, 3)) + level
                Image.fromarray(noise.astype("uint8")).save(folder / f"{number}.png")
    given = {**given, "train_examples": None, "batch_size": 8, "augment": "no"}
    return _options(place / "run", dataset=f"folder:{place / 'pictures'}", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"freeze": "until:0"}, "--freeze=until:0 must be"),
        ({"freeze": "until:2"}, "--freeze=until:2 is never reached with --epochs=2"),
        ({"weights": "missing.keras"}, "there is no file missing.keras"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(given, message, tmp_path):
    with pytest.raises(OptionsError, match=message):
        _options(tmp_path, **given)


def test_weights_of_imagenet_belong_to_names_of_keras(tmp_path):
    with pytest.raises(InputError, match="takes a file, or none"):
        runner.prepare(_options(tmp_path, weights="imagenet"))
