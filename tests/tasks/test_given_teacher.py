"""Teachers of --teacher_from and custom networks get the pixels that they expect."""

import sys
import types

import keras
import numpy as np
import one_convolution
import pytest
from keras import layers

from ban_tf import datasets
from ban_tf.architectures import pixels
from ban_tf.config import options
from ban_tf.datasets import digits
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs import inference, reading
from ban_tf.tasks import given_teacher, runner
from ban_tf.tasks.run import Run
from tests.report import finished_run


def _layers(classes=10):
    return [layers.Flatten(), layers.Dense(48, activation="relu"), layers.Dense(classes)]


@pytest.fixture(scope="module")
def images():
    return digits.load()


@pytest.fixture(scope="module")
def teachers(images, tmp_path_factory):
    """Files of one network, that takes raw pixels: by itself, or prepared for it."""
    train = images.train
    inner = keras.Sequential([keras.Input((8, 8, 1)), *_layers()])
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 127.5, -1), inner])
    keras.utils.set_random_seed(0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(train.images.astype("float32"), train.labels, batch_size=64, epochs=6, verbose=0)
    folder = tmp_path_factory.mktemp("teachers")
    model.save(folder / "raw.keras")
    inner.save(folder / "inner.keras")
    return folder


def _options(directory, **given):
    defaults = {"arch": one_convolution.ARCH, "gens": 1, "epochs": 1, "train_examples": 300}
    defaults |= {"report": False}
    given = {**defaults, "batch_size": 32, "progress": "none", "workdir": str(directory), **given}
    return options.check(options.Options(**given))


def _error(predicted, images):
    return np.mean(predicted.argmax(axis=-1) != images.test.labels)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("file", "teacher_input"), [("raw.keras", "auto"), ("inner.keras", "minus_one_to_one")]
)
def test_a_given_teacher_gets_its_own_pixels_everywhere(
    file, teacher_input, teachers, images, tmp_path
):
    path = teachers / file
    run_options = _options(tmp_path / "run", teacher_from=str(path), teacher_input=teacher_input)
    result = runner.run(run_options)
    error = result["generations"][0]["error"]
    assert error < 0.15
    run = Run(tmp_path / "run")
    assert _error(run.predict(images.test.images, 0), images) == pytest.approx(error)
    evaluated = run.evaluate("digits")["generations"][0]
    assert evaluated["error"] == pytest.approx(error)
    facts = reading.read_data_facts(run.files)
    served = inference.classifier(run.model(0), facts)
    assert _error(served.predict(images.test.images, verbose=0), images) == pytest.approx(error)
    # Resumed with one more generation.
    again = runner.run(
        _options(tmp_path / "run", teacher_from=str(path), teacher_input=teacher_input, gens=2)
    )
    assert again["generations"][0]["error"] == error


def test_a_model_of_a_run_on_other_classes_is_refused(images, tmp_path):
    path = finished_run.make(tmp_path / "run") / "generation-0" / "model.keras"
    with pytest.raises(InputError, match=r"trained on the classes cat, .* has 0, 1, .*_classes"):
        given_teacher.check_classes(str(path), "digits", images)
    given_teacher.check_classes(str(tmp_path / "alone.keras"), "digits", images)


def test_a_teacher_at_chance_is_refused_with_the_form_that_it_takes(teachers, tmp_path):
    path = teachers / "raw.keras"
    model = keras.models.load_model(path)
    model.layers[-1].layers[-1].bias.assign([0.0] * 9 + [80.0])
    model.save(tmp_path / "one_class.keras")
    with pytest.raises(InputError, match=r"no better than chance .*--teacher_input=normalized\|"):
        runner.prepare(_options(tmp_path, teacher_from=str(tmp_path / "one_class.keras")))
    with pytest.raises(InputError, match=r"trained on other pixels than zero_to_one ones") as error:
        given = {"teacher_from": str(path), "teacher_input": "zero_to_one"}
        runner.prepare(_options(tmp_path, **given))
    assert "With --teacher_input=raw it is right about" in str(error.value)


def test_a_teacher_of_some_classes_is_compared_with_chance_among_these(teachers):
    images = datasets.load("digits")
    model = keras.models.load_model(teachers / "raw.keras")
    two = keras.Model(model.inputs, model.outputs[0][:, :2])
    normalized = pixels.described("normalized", images.mean.tolist(), images.std.tolist())
    given_teacher.check_accuracy(two, "two.keras", "raw", images, normalized, [0, 1])
    # Always the first class: half of the images of these two, of which there are few.
    blank = keras.Model(model.inputs, two.outputs[0] * 0.0)
    with pytest.raises(InputError, match=r"no better than chance \(at most 6\d\.\d% in 95 of"):
        given_teacher.check_accuracy(blank, "two.keras", "raw", images, normalized, [0, 1])


@pytest.fixture
def custom(monkeypatch):
    module = types.ModuleType("pixel_networks")
    seen = []

    def prepared(input_shape, num_classes, mean, std, units=4):
        seen.append((mean, std))
        scale, offset = 1 / (255 * np.array(std)), -np.array(mean) / np.array(std)
        rescaling = layers.Rescaling(scale.tolist(), offset.tolist())
        return keras.Sequential([keras.Input(input_shape), rescaling, *_layers(num_classes)])

    def plain(input_shape, num_classes):
        return keras.Sequential([keras.Input(input_shape), *_layers(num_classes)])

    prepared.__qualname__ = "prepared"
    module.prepared, module.plain, module.seen = prepared, plain, seen
    monkeypatch.setitem(sys.modules, "pixel_networks", module)
    return module


@pytest.mark.nightly
def test_a_custom_network_that_prepares_images_takes_raw_ones(custom, images, tmp_path):
    given = {"arch": "pixel_networks:prepared", "epochs": 3, "optimizer": "adam"}
    given |= {"learning_rate": 0.01, "train_examples": 600}
    result = runner.run(_options(tmp_path / "raw", **given))
    mean, std = custom.seen[0]
    assert len(mean) == 1 and 0.2 < mean[0] < 0.5 and 0.2 < std[0] < 0.5
    run = Run(tmp_path / "raw")
    facts = reading.read_data_facts(run.files)
    assert (facts.mean, facts.std) == ((0.0,), (pytest.approx(1 / 255),))
    errors = [row["error"] for row in result["generations"]]
    assert max(errors) < 0.3
    # A saved generation takes unchanged images.
    raw = run.model(1).predict(images.test.images.astype("float32"), verbose=0)
    assert _error(raw, images) == pytest.approx(errors[1])
    assert _error(run.predict(images.test.images, 1), images) == pytest.approx(errors[1])
    with pytest.raises(RunDirectoryError, match="a run on raw pixels"):
        runner.run(_options(tmp_path / "raw", **given, input="normalized"))


@pytest.mark.nightly
def test_networks_of_two_forms_are_in_one_run(custom, images, tmp_path):
    given = {"arch": "pixel_networks:prepared", "student_arch": "pixel_networks:plain"}
    given |= {"epochs": 4, "optimizer": "adam", "learning_rate": 0.01, "train_examples": 600}
    result = runner.run(_options(tmp_path / "run", **given))
    run = Run(tmp_path / "run")
    for number in (0, 1):
        error = result["generations"][number]["error"]
        assert error < 0.3
        assert _error(run.predict(images.test.images, number), images) == pytest.approx(error)
    # As the teacher of another run, its pixels are those of the run.
    path = tmp_path / "run" / "generation-0" / "model.keras"
    run_options = _options(tmp_path / "next", teacher_from=str(path), arch="pixel_networks:plain")
    again = runner.run(run_options)
    assert again["generations"][0]["error"] == pytest.approx(result["generations"][0]["error"])


def test_the_pixels_can_be_given(custom, tmp_path):
    run_options = _options(tmp_path, arch="pixel_networks:plain", input="minus_one_to_one")
    data = runner.prepare(run_options).task.data
    assert (data.mean, data.std) == (np.float32([0.5]), np.float32([0.5]))
    with pytest.raises(InputError, match="have three channels"):
        runner.prepare(_options(tmp_path, arch="pixel_networks:plain", input="imagenet"))
