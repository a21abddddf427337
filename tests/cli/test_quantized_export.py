"""Quantized LiteRT files are calibrated on training images, and measured beside the float ones."""

import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.cli import export
from ban_tf.datasets import digits
from ban_tf.runs import litert, reading
from ban_tf.runs.rundir import RunDirectory

MEAN, STD = 0.3, 0.4
DIGITS = reading.DataFacts("digits", tuple("0123456789"), (8, 8, 1), (MEAN,), (STD,))


def _normalized(images):
    return ((images.astype("float64") / 255 - MEAN) / STD).astype("float32")


def _write_run(path, model, facts, **settings):
    model.save(path.with_suffix(".keras"))
    generation = {"epochs": 1, "finished": True, "teachers": {}, "taught_by": "labels"}
    with RunDirectory(path) as directory:
        directory.commit(
            {
                "data.json": facts.to_json(),
                "generation-0/model.keras": path.with_suffix(".keras").read_bytes(),
                "run.cfg": b"--epochs=1\n",
            },
            metadata={
                "settings": {"arch": "small", "objective": "kd", "seed": 0, **settings},
                "generations": {"0": generation},
            },
        )
    return reading.RunReader(path)


def _network(shape, classes):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


@pytest.fixture(scope="module")
def model():
    data, network = digits.load(), _network((8, 8, 1), 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    network.fit(_normalized(data.train.images), data.train.labels, epochs=2, verbose=0)
    return network


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """A run on the digits of one trained network."""
    known = f"content of hash {datasets.load('digits').content}"
    return _write_run(tmp_path_factory.mktemp("quantized") / "run", model, DIGITS, data=known)


def _outputs(path, images):
    """What a file gives for images, one at a time."""
    interpreter = litert.interpreter_class()(str(path))
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for index in range(len(images)):
        interpreter.set_tensor(entry["index"], images[index : index + 1])
        interpreter.invoke()
        found.append(interpreter.get_tensor(end["index"])[0])
    return np.stack(found), interpreter.get_tensor_details()


def _weights(tensors):
    """The kinds of numbers of the kernels of convolutions."""
    return {np.dtype(one["dtype"]).name for one in tensors if tuple(one["shape"]) == (16, 3, 3, 16)}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "preprocessing"),
    [("float16", False), ("int8", True), ("float16", True), ("int8", False)],
)
def test_errors_sizes_and_times_are_those_of_both_files(kind, preprocessing, run, model, tmp_path):
    path = tmp_path / "small.tflite"
    export.export(run, "litert", "0", path, preprocessing, quantize=kind)
    plain = export.export(run, "litert", "0", tmp_path / "plain.tflite", preprocessing)
    found = json.loads((tmp_path / "small.tflite.json").read_text())["quantization"]
    test = datasets.load("digits", validation_fraction=0.1, seed=0).test
    images = test.images if preprocessing else _normalized(test.images)
    outputs, tensors = _outputs(path, images)
    floats = model.predict(_normalized(test.images), verbose=0).argmax(-1)
    assert found["kind"] == kind and found["test_examples"] == len(test.labels)
    assert found["float32"]["error"] == pytest.approx(np.mean(floats != test.labels))
    assert found["float32"]["error"] < 0.2
    # Of 8-bit outputs the two highest may be equal or nearly so, which rounding then decides.
    near = {"abs": 2 / len(floats) if kind == "int8" else 1e-6}
    predicted = outputs.argmax(-1)
    assert found["quantized"]["error"] == pytest.approx(np.mean(predicted != test.labels), **near)
    assert found["changed"] == pytest.approx(np.mean(predicted != floats), **near)
    assert found["quantized"]["bytes"] == path.stat().st_size
    assert found["float32"]["bytes"] == plain.stat().st_size
    assert found["quantized"]["bytes"] < 0.8 * found["float32"]["bytes"]
    assert found["quantized"]["milliseconds"] > 0
    assert found["calibration_examples"] == (300 if kind == "int8" else 0)
    assert ("int8" if kind == "int8" else "float16") in _weights(tensors)
    assert _weights(_outputs(plain, images[:1])[1]) == {"float32"}
    assert not list(tmp_path.glob(".*")) and len(list(tmp_path.iterdir())) == 4


@pytest.mark.nightly
def test_the_calibration_has_the_range_of_the_prepared_training_images(run, tmp_path):
    path = export.export(run, "litert", "0", tmp_path / "small.tflite", quantize="int8")
    low, high = (-MEAN / STD, (1 - MEAN) / STD)  # of digits, which use all gray levels
    scales = [
        (one["quantization"][0], one["quantization"][1])
        for one in _outputs(path, _normalized(np.zeros((1, 8, 8, 1))))[1]
        if tuple(one["shape"]) == (1, 8, 8, 1) and one["dtype"] == np.int8
    ]
    ((scale, zero),) = set(scales)
    assert scale == pytest.approx((high - low) / 255, rel=0.02)
    assert (-128 - zero) * scale == pytest.approx(low, abs=0.02)


@pytest.mark.nightly
def test_the_command_prints_both_files_beside_each_other(run, capsys):
    assert export.main([str(run.path), "--to=litert", "--model=0", "--quantize=float16"]) == 0
    path, manifest, _, *rows, _ = capsys.readouterr().out.splitlines()
    assert path.endswith("export/generation-0-litert-float16.tflite")
    found = reading.read_quantized_exports(run)["generation-0-litert-float16.tflite"]
    assert json.loads(pathlib.Path(manifest).read_text())["quantization"] == found
    for row, name in zip(rows, ("float32", "quantized"), strict=True):
        assert f"{100 * found[name]['error']:.2f} %" in row
        assert f"{found[name]['milliseconds']:.3f} ms" in row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to=onnx", "--quantize=int8"], "--quantize=int8 is for --to=litert; --to=onnx keeps"),
        (["--to=keras", "--quantize=float16"], "--quantize=float16 is for --to=litert"),
        (["--to=litert", "--quantize=int4"], "int4"),
        (["--to=litert", "--dataset=digits"], "--dataset=digits does nothing without --quantize"),
        (
            ["--to=litert", "--quantize=int8", "--dataset=folder:nowhere"],
            "--quantize=int8: the data of",
        ),
    ],
)
def test_what_cannot_be_quantized_is_one_sentence(arguments, message, run, capsys):
    assert export.main([str(run.path), "--model=0", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def _save_images(folder, seed):
    draw = np.random.default_rng(seed)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(3):
                pixels = draw.integers(256, size=(8, 8), dtype="uint8")
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return f"folder:{folder}"


@pytest.mark.nightly
def test_data_that_has_moved_is_named_and_other_data_is_refused(tmp_path, capsys):
    given = _save_images(tmp_path / "data", seed=0)
    known = f"content of hash {datasets.load(given, image_size=(8, 8)).content}"
    facts = reading.DataFacts(given, ("cat", "dog"), (8, 8, 1), (MEAN,), (STD,), "crop")
    run = _write_run(tmp_path / "run", _network((8, 8, 1), 2), facts, data=known)
    command = [str(run.path), "--model=0", "--to=litert", "--quantize=int8"]
    (tmp_path / "data").rename(tmp_path / "moved")
    assert export.main(command) == 2
    assert "name where it is now: " in capsys.readouterr().err
    other = _save_images(tmp_path / "other", seed=1)
    assert export.main([*command, f"--dataset={other}"]) == 2
    assert "no longer holds the images that" in capsys.readouterr().err
    assert not (run.path / "export").exists()
    assert export.main([*command, f"--dataset=folder:{tmp_path / 'moved'}"]) == 0
    assert "of 6 test images" in capsys.readouterr().out


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_run_in_half_precision_is_exported_in_float32(quantize, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = _network((8, 8, 1), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    given = _save_images(tmp_path / "data", seed=0)
    data = datasets.load(given, image_size=(8, 8))
    facts = reading.DataFacts(given, ("cat", "dog"), (8, 8, 1), (MEAN,), (STD,), "crop")
    known = f"content of hash {data.content}"
    run = _write_run(tmp_path / "run", network, facts, data=known)
    path = export.export(run, "litert", "0", tmp_path / "small.tflite", quantize=quantize)
    images = _normalized(data.train.images)  # those of which the range of int8 is known
    found, tensors = _outputs(path, images)
    before = np.asarray(network(images), np.float64)
    assert np.abs(found - before).max() < 0.05 * np.abs(before).max()
    assert _weights(tensors) == {"int8" if quantize else "float32"}
