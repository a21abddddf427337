"""Frozen backbones are computed once for all generations; what is saved is the whole network."""

import dataclasses
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers

from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.tasks import frozen_features, runner
from ban_tf.tasks.run import Run


def _network(input_shape, num_classes, *first):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            *first,
            layers.Conv2D(12, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(num_classes),
        ]
    )


def _moving(input_shape, num_classes):
    return _network(input_shape, num_classes, layers.RandomFlip())


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    module = types.ModuleType("frozen_networks")
    for function in (_network, _moving):
        function.__module__ = "frozen_networks"
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "frozen_networks", module)


def _options(place, name="run", **given):
    defaults = {"arch": "frozen_networks:_network", "gens": 2, "epochs": 3, "batch_size": 32}
    defaults |= {"train_examples": 300, "progress": "none", "freeze": "backbone"}
    defaults |= {
        "report": False,
        "workdir": str(place / name),
        "recordings": str(place / "recordings"),
    }
    return options.check(options.Options(**{**defaults, **given}))


@pytest.fixture
def passes(monkeypatch):
    """The images that backbones were applied to, batch by batch."""
    counted = []
    init = frozen_features.FrozenFeatures.__init__

    def counting(self, *arguments):
        init(self, *arguments)
        compute = self._compute
        self._compute = lambda images: (counted.append(len(images)), compute(images))[1]

    monkeypatch.setattr(frozen_features.FrozenFeatures, "__init__", counting)
    return counted


def test_each_image_passes_the_backbone_once(passes, tmp_path):
    run_options = _options(tmp_path)
    result = runner.run(run_options)
    test = digits.load().test
    assert sum(passes) == 300 + len(test.labels)
    run = Run(run_options.directory)
    errors = [row["error"] for row in result["generations"]]
    assert max(errors) < 0.4
    bodies = []
    for number in range(3):
        # The model of a generation takes images, and predicts what its head did on features.
        model = run.model(number)
        bodies.append(model.get_weights()[:-2])
        assert model.input_shape == (None, 8, 8, 1)
        wrong = np.mean(run.predict(test.images, number).argmax(-1) != test.labels)
        assert wrong == pytest.approx(errors[number])
    for body in bodies[1:]:
        for first, second in zip(body, bodies[0], strict=True):
            np.testing.assert_array_equal(first, second)
    mean = np.mean([run.predict(test.images, number) for number in (1, 2)], axis=0)
    np.testing.assert_allclose(run.predict(test.images), mean, atol=1e-6)


@pytest.mark.nightly
def test_one_more_generation_and_another_objective_compute_nothing_again(passes, tmp_path):
    run_options = _options(tmp_path)
    errors = [row["error"] for row in runner.run(run_options)["generations"]]
    before = len(passes)
    longer = runner.run(dataclasses.replace(run_options, gens=3))
    assert [row["error"] for row in longer["generations"][:3]] == errors
    runner.run(_options(tmp_path, "other", objective="kd", gens=1))
    assert len(passes) == before


@pytest.mark.nightly
def test_an_interrupted_lineage_resumes_bit_by_bit(tmp_path):
    runner.run(_options(tmp_path, "whole", gens=2))
    runner.run(_options(tmp_path, "part", gens=1))
    runner.run(_options(tmp_path, "part", gens=2))
    whole, part = (Run(tmp_path / name).model(2).get_weights() for name in ("whole", "part"))
    for first, second in zip(whole, part, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.nightly
def test_views_of_augmented_images_return(passes, tmp_path):
    runner.run(_options(tmp_path, augment="yes", teacher_views=2, gens=1))
    # Of 300 images, 29 are for validation.
    assert sum(passes) == 2 * 271 + 29 + len(digits.load().test.labels)


@pytest.mark.parametrize(
    "given",
    [
        {"freeze": "none"},
        {"freeze": "until:1"},
        {"augment": "yes"},
        {"mixup": 0.2, "recordings": None},
        {"fresh": "all"},
        {"teacher_signal": "recorded"},
        {"arch": "frozen_networks:_moving"},
    ],
)
def test_features_that_would_change_are_not_recorded(given, tmp_path):
    prepared = runner.prepare(_options(tmp_path, **given))
    with runner.open_shared(tmp_path / "run", prepared.task.workers) as directory:
        prepared.task.open(directory)
    assert prepared.task.features is None
