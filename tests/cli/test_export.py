"""Exports give what the trained model gives, in processes that have never seen it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest
import warm
from PIL import Image

from ban_tf.cli import evaluate, export, predict
from ban_tf.datasets import digits
from ban_tf.distillation.ensemble import ensemble
from ban_tf.runs import inference, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import image_inference, image_reading

FACTS = reading.DataFacts("digits", tuple("0123456789"), (8, 8, 1), (0.3,), (0.4,))


def _model(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two generations of a small network, and their ensemble."""
    folder = tmp_path_factory.mktemp("export")
    members = [_model(seed) for seed in (0, 1, 2)]
    files = {"data.json": FACTS.to_json()}
    for name, model in {
        **{f"generation-{number}/model": member for number, member in enumerate(members)},
        "ensemble": ensemble(members[1:], output_kind="categorical"),
    }.items():
        model.save(folder / "model.keras")
        files[f"{name}.keras"] = (folder / "model.keras").read_bytes()
    with RunDirectory(folder / "run") as directory:
        directory.commit(
            files,
            metadata={
                "settings": {"arch": "small", "objective": "kd", "seed": 0},
                "generations": {
                    str(k): {
                        "epochs": 1,
                        "finished": True,
                        "teachers": {},
                        "taught_by": f"generation {k - 1}",
                    }
                    for k in range(3)
                },
            },
        )
    return reading.RunReader(folder / "run")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(256, size=(7, 8, 8, 1), dtype="uint8")


def _normalized(images):
    return (images.astype("float64") / 255 - 0.3) / 0.4


def _probabilities(run, images, which="ensemble"):
    """What the trained model gives, computed apart from `inference.classifier`."""
    raw = np.asarray(inference.load(run, which)(_normalized(images).astype("float32")), "float64")
    if which == "ensemble":
        return raw
    raw = np.exp(raw - raw.max(axis=-1, keepdims=True))
    return raw / raw.sum(axis=-1, keepdims=True)


# Each reads `x.npy` and writes what the export makes of it to `y.npy`, without ban_tf.
_READERS = {
    "saved_model": (
        "tensorflow",
        "import tensorflow as tf; m = tf.saved_model.load(path); y = m.serve(x).numpy()",
    ),
    "keras": ("keras", "import keras; y = keras.models.load_model(path).predict(x, verbose=0)"),
    "litert": (
        "ai_edge_litert",
        "from ai_edge_litert.interpreter import Interpreter; i = Interpreter(path); "
        "n = i.get_input_details()[0]['index']; i.resize_tensor_input(n, x.shape); "
        "i.allocate_tensors(); i.set_tensor(n, x); i.invoke(); "
        "y = i.get_tensor(i.get_output_details()[0]['index'])",
    ),
    "onnx": (
        "onnxruntime",
        "import onnxruntime as o; s = o.InferenceSession(path); "
        "y = s.run(None, {s.get_inputs()[0].name: x})[0]",
    ),
}
_NEEDED_TO_WRITE = {"onnx": "tf2onnx"}
_AVAILABLE = [
    to
    for to, (package, _) in _READERS.items()
    if all(map(importlib.util.find_spec, {package, _NEEDED_TO_WRITE.get(to, package)}))
]
_CASES = {
    "raw": {"preprocessing": True},
    "raw-0": {"preprocessing": True, "which": "0"},
    "normalized": {"preprocessing": False},
}


@pytest.fixture(scope="module")
def read_elsewhere(run, images, tmp_path_factory):
    """Exports a case, reads all formats in one fresh process; returns the folder of the results."""

    @functools.cache
    def read(case):
        folder, arguments = tmp_path_factory.mktemp("exports"), _CASES[case]
        raw = arguments["preprocessing"]
        np.save(folder / "x.npy", images if raw else _normalized(images).astype("float32"))
        script = ["import sys, numpy as np", f"x = np.load({str(folder / 'x.npy')!r})"]
        for to in _AVAILABLE:
            path = export.export(run, to, output=folder / f"{to}{export.FORMATS[to]}", **arguments)
            script += [
                f"path = {str(path)!r}",
                _READERS[to][1],
                f"np.save({str(folder / f'y-{to}.npy')!r}, y)",
            ]
        script.append("assert 'ban_tf' not in sys.modules")
        done = warm.run([sys.executable, "-c", "\n".join(script)])
        assert done.returncode == 0, done.stderr
        return folder

    return read


@pytest.mark.first_cases(4)
@pytest.mark.parametrize("to", export.FORMATS)
@pytest.mark.parametrize("case", _CASES)
def test_an_export_gives_the_same_in_a_fresh_process(to, case, run, images, read_elsewhere):
    if to not in _AVAILABLE:
        pytest.skip(f"what --to={to} needs is not installed")
    expected = _probabilities(run, images, _CASES[case].get("which", "ensemble"))
    given = np.load(read_elsewhere(case) / f"y-{to}.npy")
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_the_manifest_describes_inputs_and_outputs(run, tmp_path):
    path = export.export(run, "keras", which="1", output=tmp_path / "one.keras")
    manifest = json.loads(pathlib.Path(f"{path}.json").read_text())
    assert manifest["class_names"] == list("0123456789")
    assert manifest["model"] == "generation 1"
    assert manifest["output"] == "logits"
    assert manifest["input"] == {
        "shape": ["batch", 8, 8, 1],
        "dtype": "float32",
        "preprocessing": "(image / 255 - mean) / std",
        "mean": [0.3],
        "std": [0.4],
        "resize": {"size": [8, 8], "method": "stretch", "by": "caller"},
    }


def test_a_format_whose_package_is_missing_names_it(run, tmp_path, monkeypatch, capsys):
    for name in ("tf2onnx", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    arguments = [str(run.path), "--to=onnx", f"--output={tmp_path / 'model.onnx'}"]
    assert export.main(arguments) == 2
    error = capsys.readouterr().err
    assert 'pip install "ban_tf[onnx]"' in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "to"),
        (["--to=keras"], "name one run"),
        (["RUN", "--to=torch"], "torch"),
        (["RUN", "--to=keras", "--model=7"], "no model 7: it must be ensemble or the number"),
        (["RUN", "--to=keras", "--output=model.h5"], "must end in .keras"),
        (["RUN", "--to=saved_model", "--output=RUN"], "holds something else"),
        (["nowhere", "--to=keras"], "not a run"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence_and_code_2(arguments, message, run, capsys):
    filled = [argument.replace("RUN", str(run.path)) for argument in arguments]
    assert export.main(filled) == 2
    assert message in capsys.readouterr().err
    assert (run.path / "manifest.json").is_file()


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (export, ["--to=keras", "--output=RUN/ensemble.keras"]),
        (export, ["--to=keras", "--output=RUN/generation-0/new.keras"]),
        (export, ["--to=saved_model", "--output=RUN/manifest"]),
        (export, ["--to=keras", "--output=LINK"]),
        (predict, ["IMAGE", "--csv=RUN/manifest.json"]),
        (evaluate, ["--dataset=digits", "--json=RUN/data.json"]),
    ],
)
def test_no_output_replaces_a_file_of_a_run(command, arguments, run, tmp_path, capsys):
    link = tmp_path / "link.keras"
    link.symlink_to(run.path / "ensemble.keras")
    before = _contents(run.path)
    names = {"RUN": run.path, "LINK": link, "IMAGE": tmp_path / "a.png"}
    for name, path in names.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert command.main([str(run.path), *arguments]) == 2
    said = capsys.readouterr().err
    assert "would overwrite" in said and len(said.splitlines()) == 1
    assert _contents(run.path) == before


def test_the_manifest_of_an_export_replaces_only_that_of_an_earlier_one(run, tmp_path, capsys):
    arguments = [str(run.path), "--to=keras", f"--output={tmp_path / 'package.keras'}"]
    assert export.main(arguments) == export.main(arguments) == 0
    capsys.readouterr()
    (tmp_path / "package.keras.json").write_text('{"name": "of the user"}')
    assert export.main(arguments) == 2
    assert "package.keras.json for its manifest" in capsys.readouterr().err
    assert "of the user" in (tmp_path / "package.keras.json").read_text()


@pytest.mark.parametrize("name", ["folder", "nowhere/x", "file/x"])
def test_a_table_that_cannot_be_written_is_refused_before_the_work(name, run, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / name
    for command, arguments in (
        (predict, ["nothing.png", f"--csv={path}"]),
        (evaluate, ["--dataset=digits", f"--json={path}"]),
    ):
        assert command.main([str(run.path), *arguments]) == 2
        assert f"{path} cannot be written" in capsys.readouterr().err


def test_predictions_of_image_files_are_the_models(run, images, tmp_path, capsys):
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    for path, pixels in zip(paths, images, strict=False):
        Image.fromarray(pixels[..., 0]).save(path)
    assert predict.main([str(run.path), *paths, f"--csv={tmp_path / 'table.csv'}"]) == 0
    expected = _probabilities(run, images[:2])
    lines = capsys.readouterr().out.splitlines()
    for line, path, row in zip(lines, paths, expected, strict=True):
        assert line == f"{path}\t{row.argmax()}\t{row.max():.4f}"
    table = (tmp_path / "table.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    written = [[float(row[name]) for name in FACTS.class_names] for row in rows]
    np.testing.assert_allclose(written, expected, atol=1e-5)
    for arguments in ([*paths, "--csv"], ["--csv", "--model=ensemble", *paths]):
        assert predict.main([str(run.path), *arguments]) == 0
        assert capsys.readouterr().out == table


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0]).save(path)


def test_folders_and_patterns_stand_for_their_images(run, images, tmp_path, capsys):
    names = ("a/1.png", "a/deep/2.png", "b/3.png", "b/4.bmp", "5.png")
    for name, pixels in zip(names, images, strict=False):
        _save(tmp_path / name, pixels)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    given = ["a", "b/*.p?g", "b/3.png", "5.png"]
    assert predict.main([str(run.path), *(str(tmp_path / name) for name in given)]) == 0
    out = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    expected = ("a/1.png", "a/deep/2.png", "b/3.png", "5.png")
    assert out == [str(tmp_path / name) for name in expected]


def test_bad_files_are_named_after_the_others_are_predicted(run, images, tmp_path, capsys):
    _save(tmp_path / "1.png", images[0])
    _save(tmp_path / "3.png", images[1])
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "empty").mkdir()
    names = ["1.png", "2.png", "absent.png", "3.png", "empty", "*.gif"]
    table = tmp_path / "table.csv"
    arguments = [str(run.path), *(str(tmp_path / name) for name in names), f"--csv={table}"]
    assert predict.main(arguments) == 1
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        str(tmp_path / name) for name in ("1.png", "3.png")
    ]
    assert len(table.read_text().splitlines()) == 3
    note, *bad = err.splitlines()
    assert note.startswith("The ensemble is used")
    assert len(bad) == 4 and all(line.startswith("ban-tf predict: ") for line in bad)
    for sentence in ("2.png cannot be", "absent.png", "empty holds no im", "*.gif matches no file"):
        assert sentence in err


@pytest.mark.nightly
def test_the_most_likely_classes_are_printed_with_their_probabilities(
    run, images, tmp_path, capsys
):
    _save(tmp_path / "1.png", images[0])
    (row,) = _probabilities(run, images[:1])
    order = np.argsort(-row)
    arguments = [str(run.path), str(tmp_path / "1.png"), f"--csv={tmp_path / 'table.csv'}"]
    assert predict.main([*arguments, "--top=3"]) == 0
    cells = capsys.readouterr().out.strip().split("\t")
    assert cells[1::2] == [str(label) for label in order[:3]]
    assert cells[2::2] == [f"{row[label]:.4f}" for label in order[:3]]
    (table,) = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert list(table)[:3] == ["image", "class 1", "probability 1"] and len(table) == 7
    assert table["class 3"] == str(order[2])
    assert float(table["probability 3"]) == pytest.approx(row[order[2]], rel=1e-5)
    assert predict.main([*arguments, "--top=99"]) == 0
    assert len(capsys.readouterr().out.split("\t")) == 1 + 2 * len(row)


def test_a_table_does_not_replace_an_image(run, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    before = (tmp_path / "a.png").read_bytes()
    arguments = [str(run.path), "--csv", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert predict.main(arguments) == 2
    assert "a.png is an image" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before
    (tmp_path / "image").write_bytes(before)
    assert predict.main([str(run.path), str(tmp_path), f"--csv={tmp_path / 'image'}"]) == 2
    assert (tmp_path / "image").read_bytes() == before


def test_a_table_does_not_replace_a_file_to_predict(run, tmp_path, capsys):
    (tmp_path / "a").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("a", "./a", "link"):
        arguments = [str(run.path), str(tmp_path / "a"), f"--csv={tmp_path}/{name}"]
        assert predict.main(arguments) == 2
        assert "is a file to predict" in capsys.readouterr().err
    assert (tmp_path / "a").read_text() == "mine"


def test_a_large_color_image_is_made_to_fit(tmp_path):
    Image.new("RGB", (31, 17), (255, 0, 0)).save(tmp_path / "red.png")
    pixels = image_reading.read_image(tmp_path / "red.png", (8, 8, 1))
    assert pixels.shape == (8, 8, 1) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, 76)  # the luma of red


def test_a_large_image_is_refused_in_one_sentence(run, tmp_path, capsys, recwarn):
    Image.new("1", (10000, 10000)).save(tmp_path / "large.png")  # more than Pillow warns of
    content = (tmp_path / "large.png").read_bytes()
    (tmp_path / "large.png").write_bytes(content[:100])
    assert predict.main([str(run.path), str(tmp_path / "large.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not recwarn.list


def test_sixteen_bits_are_refused_as_in_training_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has more than eight bits per channel"):
        image_reading.read_image(tmp_path / "deep.png", (8, 8, 1))


def test_a_file_that_is_no_image_is_named(run, tmp_path, capsys):
    (tmp_path / "notes.png").write_text("not an image")
    assert predict.main([str(run.path), str(tmp_path / "notes.png")]) == 2
    assert "notes.png cannot be read as an image" in capsys.readouterr().err


def test_evaluation_on_a_data_set_uses_the_preprocessing_of_the_run(run, tmp_path, capsys):
    arguments = [str(run.path), "--dataset=digits", f"--json={tmp_path / 'numbers.json'}"]
    assert evaluate.main(arguments) == 0
    assert "generations 1-2" in capsys.readouterr().out
    result = json.loads((tmp_path / "numbers.json").read_text())
    test = digits.load().test
    for number, row in enumerate(result["generations"]):
        right = _probabilities(run, test.images, str(number)).argmax(axis=-1) == test.labels
        assert row["accuracy"] == pytest.approx(right.mean())


@pytest.mark.nightly
def test_evaluation_compares_classes_by_name_whatever_their_order(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    with RunDirectory(tmp_path / "run") as directory:
        backwards = dataclasses.replace(FACTS, class_names=FACTS.class_names[::-1])
        directory.commit({"data.json": backwards.to_json()})
    result = image_inference.evaluate(reading.RunReader(tmp_path / "run"), "digits")
    test = digits.load().test
    for number, row in enumerate(result["generations"]):
        right = _probabilities(run, test.images, str(number)).argmax(axis=-1) == 9 - test.labels
        assert row["accuracy"] == pytest.approx(right.mean())


def test_data_of_other_classes_is_refused(run, tmp_path, capsys):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                Image.new("L", (8, 8)).save(tmp_path / part / name / f"{number}.png")
    assert evaluate.main([str(run.path), f"--dataset=folder:{tmp_path}"]) == 2
    assert "cat, dog (2)" in capsys.readouterr().err


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("name", ["new", "test"])
def test_all_images_of_a_folder_of_classes_are_evaluated(
    run, images, tmp_path, capsys, caplog, name
):
    (tmp_path / "train" / "0").mkdir(parents=True)  # `test` beside it is not only a part here
    labels = [0, 0, 3, 7]
    for number, label in enumerate(labels):
        _save(tmp_path / name / str(label) / f"{number}.png", images[number])
    (tmp_path / name / "0" / "notes.txt").write_text("no image")
    arguments = [str(run.path), f"--dataset=folder:{tmp_path / name}"]
    with caplog.at_level("WARNING"):
        assert evaluate.main([*arguments, f"--json={tmp_path / 'numbers.json'}"]) == 0
    assert f"{tmp_path / name}: files that are not read: 1 .txt." in caplog.text
    out = capsys.readouterr().out
    assert "without images (7), which do not count: 1, 2, 4, 5, 6 and 2 more" in out
    result = json.loads((tmp_path / "numbers.json").read_text())
    assert result["run"]["missing_classes"] == list("1245689")
    for number, row in enumerate(result["generations"]):
        right = _probabilities(run, images[:4], str(number)).argmax(axis=-1) == labels
        assert row["examples"] == 4 and row["accuracy"] == pytest.approx(right.mean())


def test_a_folder_of_classes_is_refused_in_a_sentence(run, images, tmp_path, capsys):
    def refused():
        assert evaluate.main([str(run.path), f"--dataset=folder:{tmp_path / 'new'}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "does not exist" in refused()
    (tmp_path / "new").mkdir()
    assert "has no images in folders named for the classes" in refused()
    _save(tmp_path / "new" / "0" / "0.png", images[0])
    (tmp_path / "new" / "0" / "bad.png").write_text("no image")
    said = refused()
    assert "has bad files (1): " in said
    assert said.endswith("leave them out with --skip_bad_files.")
    _save(tmp_path / "new" / "cat" / "0.png", images[0])
    assert "has classes that the run was not trained on: cat (1)" in refused()


@pytest.mark.parametrize("parts", [[""], ["train", "test"]])
def test_bad_files_can_be_left_out(run, images, tmp_path, caplog, parts):
    for part in parts:
        for label in range(10):
            for number in range(2):
                place = tmp_path / "new" / part / str(label) / f"{number}.png"
                _save(place, images[(2 * label + number) % len(images)])
        (tmp_path / "new" / part / "0" / "bad.png").write_text("no image")
    arguments = [str(run.path), f"--dataset=folder:{tmp_path / 'new'}"]
    with caplog.at_level("WARNING"):
        path = tmp_path / "numbers.json"
        assert evaluate.main([*arguments, "--skip_bad_files", f"--json={path}"]) == 0
    assert "bad.png" in caplog.text
    rows = json.loads(path.read_text())["generations"]
    assert {row["examples"] for row in rows} == {20}


def test_leaving_out_bad_files_is_refused_where_no_files_are_read(run, capsys):
    assert evaluate.main([str(run.path), "--dataset=digits", "--skip_bad_files"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--skip_bad_files does nothing with --dataset=digits" in line
