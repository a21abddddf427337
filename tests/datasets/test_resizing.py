"""One size for images of any sizes: the same in training, prediction and exported models."""

from __future__ import annotations

import dataclasses
import json
import shutil

import keras
import numpy as np
import one_convolution
import pytest
import tensorflow as tf
from PIL import Image

from ban_tf import datasets
from ban_tf.cli import export
from ban_tf.config import options
from ban_tf.datasets import resizing
from ban_tf.errors import InputError
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import image_inference, image_reading, runner


def _picture(height, width, mode="RGB"):
    """A smooth picture without any symmetry."""
    rows, columns = np.mgrid[:height, :width]
    parts = (rows * 255 / height, columns * 255 / width, (rows + 2 * columns) * 60 / height)
    return Image.fromarray(np.stack(parts, axis=-1).clip(0, 255).astype(np.uint8)).convert(mode)


def _folder(root, count=4, sizes=((20, 30), (30, 20), (24, 24))):
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                picture = _picture(*sizes[index % len(sizes)])
                shade = 90 * label + index + (10 if part == "test" else 0)
                pixels = np.asarray(picture) // 2 + np.uint8(shade)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return f"folder:{root}"


@pytest.mark.parametrize(
    ("text", "size"), [("224", (224, 224)), ("192x256", (192, 256)), ("1", (1, 1))]
)
def test_sizes_are_one_number_or_two(text, size):
    assert resizing.parse(text) == size


@pytest.mark.parametrize("text", ["0", "16385", "4x", "x4", "-1", "4X4", "4x4x4", "\u0663", "1e3"])
def test_other_sizes_are_refused_in_one_sentence(text):
    with pytest.raises(InputError, match=r"^--image_size="):
        resizing.parse(text)
    with pytest.raises(options.OptionsError, match=r"^--image_size="):
        options.check(options.Options(image_size=text))


def test_crop_keeps_the_ratio_and_the_middle():
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    found = resizing.fit(Image.fromarray(pixels), (5, 5), "crop")
    np.testing.assert_array_equal(np.asarray(found), 200)


@pytest.mark.parametrize("turned", [False, True])
def test_pad_keeps_the_ratio_and_all_pixels(turned):
    pixels = np.zeros((12, 24, 3), np.uint8)
    image = Image.fromarray(pixels.swapaxes(0, 1) if turned else pixels)
    found = np.asarray(resizing.fit(image, (8, 8), "pad"))[..., 0]
    found = found.T if turned else found
    assert found[[0, -1]].min() > 250 and found[3:5].max() == 0


def test_stretch_uses_every_pixel_and_the_same_size_changes_nothing():
    image = _picture(9, 31)
    expected = image.resize((8, 8), Image.Resampling.BILINEAR)
    found = resizing.fit(image, (8, 8), "stretch")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    for method in resizing.METHODS:
        assert resizing.fit(image, (9, 31), method) is image


@pytest.mark.parametrize("method", resizing.METHODS)
@pytest.mark.parametrize("size", [(37, 61), (61, 37), (8, 40), (64, 64), (16, 12)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_layer_of_exported_models_resizes_alike(method, size, mode):
    channels = len(mode)
    image = _picture(*size, mode)
    expected = resizing.to_array(image, (16, 12), method, channels).astype(float)
    pixels = np.asarray(image).reshape(1, *size, channels)
    found = np.asarray(resizing.layer((16, 12), method)(pixels))[0]
    assert np.abs(found - expected).max() < 2


def test_digits_are_resized_to_image_size():
    data = datasets.load("digits", image_size=(12, 10))
    assert data.input_shape == (12, 10, 1)
    assert data.test.images.shape == (360, 12, 10, 1)
    assert datasets.load("digits", image_size=(8, 8)).content == datasets.load("digits").content


def test_images_of_several_sizes_get_a_recommendation(tmp_path, caplog):
    name = _folder(tmp_path)
    with caplog.at_level("WARNING"):
        assert datasets.load(name).input_shape == (20, 30, 3)
        (line,) = [record.getMessage() for record in caplog.records]
        assert "3 sizes" in line and "20x30" in line and "`image_size`" in line
        caplog.clear()
        assert datasets.load(name, image_size=(16, 16)).input_shape == (16, 16, 3)
        assert not caplog.records


def test_every_image_is_read_by_the_one_function(tmp_path):
    name = _folder(tmp_path)
    for method in resizing.METHODS:
        data = datasets.load(name, image_size=(16, 12), resize=method)
        for split in (data.train, data.validation, data.test):
            for file, pixels in zip(split.files, split.images, strict=True):
                expected = image_reading.read_image(tmp_path / file, (16, 12, 3), method)
                np.testing.assert_array_equal(pixels, expected)


def _options(root, resize):
    return options.check(
        options.Options(
            dataset=f"folder:{root / 'images'}",
            arch=one_convolution.ARCH,
            gens=0,
            epochs=1,
            batch_size=4,
            image_size="16x12",
            resize=resize,
            progress="none",
            report=False,
            workdir=str(root / "run"),
        )
    )


@pytest.fixture(scope="module", params=["crop", pytest.param("pad", marks=pytest.mark.nightly)])
def run(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    _folder(root / "images")
    runner.run(_options(root, request.param))
    return reading.RunReader(root / "run")


def test_a_finished_run_resizes_as_it_was_trained(run, tmp_path):
    facts = reading.read_data_facts(run)
    assert (facts.input_shape, facts.resize) == ((16, 12, 3), run.path.parent.name[:-1])
    files = sorted((run.path.parent / "images/test").rglob("*.png"))
    predicted = image_inference.probabilities(run, files, "0")
    kept = np.exp(reading.read_predictions(run, 1)[0])
    np.testing.assert_allclose(predicted, kept, rtol=1e-4)
    # The same images, beside others of another size that are more common.
    result = image_inference.evaluate(run, f"folder:{run.path.parent / 'images'}")
    before = reading.read_summary(run)["generations"][0]
    assert result["generations"][0]["negative_log_likelihood"] == pytest.approx(
        before["negative_log_likelihood"], rel=1e-4
    )


def test_a_run_without_a_method_stretches(run):
    content = json.loads(run.read(reading.DATA))
    assert content.pop("resize") in resizing.METHODS
    several = ("class_names", "input_shape", "mean", "std")
    facts = reading.DataFacts(content["dataset"], *(tuple(content[key]) for key in several))
    assert facts.resize == "stretch"


@pytest.mark.parametrize(
    ("to", "name"),
    [("keras", "model.keras"), pytest.param("saved_model", "model", marks=pytest.mark.nightly)],
)
def test_an_exported_model_takes_images_of_any_size(to, name, run, tmp_path):
    path = export.export(run, to, "0", tmp_path / name, preprocessing=True)
    manifest = json.loads((tmp_path / f"{name}.json").read_text())
    assert manifest["input"]["shape"] == ["batch", 16, 12, 3]
    method = reading.read_data_facts(run).resize
    resize = {"size": [16, 12], "method": method, "by": "model"}
    assert manifest["input"]["resize"] == resize
    loaded = tf.saved_model.load(path) if to == "saved_model" else keras.models.load_model(path)
    model = loaded.serve if to == "saved_model" else loaded
    files = sorted((run.path.parent / "images/test").rglob("*.png"))
    expected = image_inference.probabilities(run, files, "0")
    for file, row in zip(files, expected, strict=True):
        found = np.asarray(model(np.asarray(Image.open(file))[np.newaxis]))[0]
        np.testing.assert_allclose(found, row, atol=0.02)


def test_a_run_of_another_method_is_refused(run):
    with pytest.raises(ValueError, match="resize was"):
        runner.run(_options(run.path.parent, "stretch"))


def test_an_older_run_is_known_by_its_images_alone(run, tmp_path):
    shutil.copytree(run.path.parent, tmp_path, dirs_exist_ok=True)
    with RunDirectory(tmp_path / "run") as directory:
        settings = dict(directory.metadata["settings"])
        del settings["resize"]
        directory.commit(metadata={"settings": settings})
    method = reading.read_data_facts(run).resize
    checked = _options(run.path.parent, method)
    runner.run(dataclasses.replace(checked, workdir=str(tmp_path / "run")))
    with pytest.raises(ValueError, match="content of hash"):
        other = dataclasses.replace(checked, workdir=str(tmp_path / "run"), resize="stretch")
        runner.run(other)
