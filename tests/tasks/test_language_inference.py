"""Finished runs on text: perplexity of a file, next words, models that hold their vocabulary."""

import csv
import itertools
import json
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest
import warm
from absl import flags

import ban_tf
from ban_tf.cli import evaluate, export, predict
from ban_tf.config import options
from ban_tf.datasets import text
from ban_tf.runs import inference, litert, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import language_inference, language_scores, runner

LETTERS = "abcdefgh"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run on a text of letters, whose vocabulary has an `<unk>`, and texts to try it on."""
    folder = tmp_path_factory.mktemp("letters")
    generator = np.random.default_rng(0)
    steps = generator.choice([1, 2], p=[0.8, 0.2], size=2400)
    letters = [LETTERS[position] for position in np.cumsum(steps) % len(LETTERS)]
    lines = [" ".join(letters[start : start + 12]) for start in range(0, len(letters), 12)]
    (folder / "my.train.txt").write_text("\n".join(lines[:160]))
    (folder / "my.valid.txt").write_text("\n".join([*lines[160:180], "new words"]))
    (folder / "my.test.txt").write_text("\n".join(lines[180:]))
    (folder / "lines.txt").write_text("\ufeffa b c\n\nzebra a\n")
    arguments = (
        *(f"--dataset=text:{folder}", "--arch=lstm-1-8", "--student_arch=cnn-lstm-1-8"),
        *("--gens=1", "--epochs=1", "--batch_size=4", "--unroll=5", "--learning_rate=5"),
        *("--progress=none", "--noreport", f"--workdir={folder / 'run'}"),
    )
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    runner.run(options.from_flags(values))
    return folder


@pytest.fixture(scope="module")
def run(place):
    return reading.RunReader(place / "run")


def test_a_run_keeps_its_vocabulary(run, place):
    assert reading.read_vocabulary(run) == text.load(f"text:{place}").vocabulary
    assert text.UNKNOWN in reading.read_vocabulary(run)


def test_a_run_without_a_vocabulary_says_how_to_have_one_written(tmp_path):
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit({}, metadata={"settings": {"dataset": "text:letters"}})
    with pytest.raises(
        ValueError, match=r"no vocabulary.json; resume it once to write it.*run.cfg"
    ):
        reading.read_vocabulary(reading.RunReader(tmp_path / "run"))


def test_evaluation_on_the_test_text_gives_the_numbers_of_the_run(run, place, capsys):
    numbers = place / "numbers.json"
    assert evaluate.main([str(run.path), f"--dataset=text:{place}", f"--json={numbers}"]) == 0
    shown = capsys.readouterr().out
    assert "generations 0-1" in shown and "0.0 % of the words are unknown" in shown
    found, kept = json.loads(numbers.read_text()), reading.read_summary(run)
    for part in ("generations", "ensembles"):
        for row, before in zip(found[part], kept[part], strict=True):
            assert row["perplexity"] == pytest.approx(before["perplexity"])
            low, high = row["perplexity_interval"]
            assert low < row["perplexity"] < high


@pytest.mark.nightly
def test_unknown_words_of_a_file_are_reported_and_warned_of(run, place, capsys, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        result = ban_tf.Run(run.path).evaluate(f"text:{place / 'lines.txt'}")
    assert result["run"]["unknown_words"] == pytest.approx(1 / 7)
    assert result["generations"][0]["examples"] == 6
    with pytest.MonkeyPatch.context() as patch:
        warnings = []
        patch.setattr(language_scores.logging, "warning", lambda *given: warnings.append(given))
        language_scores.warn_of_unknown_words(0.2, "given")
        language_scores.warn_of_unknown_words(0.05, "given")
        language_scores.warn_of_unknown_words(0.2, "given", scored=False)
    assert [numbers for _, *numbers in warnings] == [[20.0, "given"]] * 2
    assert ["perplexity" in message for message, *_ in warnings] == [True, False]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("which", ["ensemble", "0", "1"])
def test_next_words_are_those_of_reading_each_line_alone(run, which):
    vocabulary = reading.read_vocabulary(run)
    lines = [["a", "b", "c"], [], ["zebra", "a"], ["h"] * 9, ["d"]]
    found = language_inference.next_words(run, lines, which)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0)
    model = language_inference.stateless(run, which)
    for line, row in zip(lines, found, strict=True):
        raw = np.asarray(model(text.encode(["<eos>", *line], vocabulary)[None]))[0, -1]
        expected = raw if which == "ensemble" else np.exp(raw) / np.exp(raw).sum()
        np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_the_likeliest_next_words_are_shown_and_written(run, place, capsys):
    table = place / "table.csv"
    arguments = [str(run.path), str(place / "lines.txt"), f"--csv={table}", "--top=2"]
    arguments.append("--model=ensemble")
    assert predict.main(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert predict.main([*arguments, "--lines"]) == 2
    assert "--lines is for runs on labeled texts" in capsys.readouterr().err
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["line"] for row in rows] == ["a b c", "zebra a"]
    found = language_inference.next_words(run, [["a", "b", "c"], ["zebra", "a"]])
    vocabulary = reading.read_vocabulary(run)
    for row, line, probabilities in zip(rows, shown, found, strict=True):
        first, second = np.argsort(-probabilities)[:2]
        assert (row["word 1"], row["word 2"]) == (vocabulary[first], vocabulary[second])
        assert float(row["probability 1"]) == pytest.approx(probabilities[first])
        assert line.startswith(f"{row['line']}\t{vocabulary[first]} ")


@pytest.mark.nightly
def test_exports_take_lines_of_text_in_a_process_without_this_package(run, tmp_path):
    lines = ["a b c", "", "zebra a"]
    script = ["import sys, numpy as np, keras, tensorflow as tf", f"lines = tf.constant({lines})"]
    read = {
        "saved_model": "model = tf.saved_model.load({!r}); y = model.serve(lines)",
        "keras": "y = keras.models.load_model({!r})(lines)",
    }
    cases = list(itertools.product(read, ["ensemble", "0"]))
    for to, which in cases:
        output = tmp_path / f"{to}-{which}{export.FORMATS[to]}"
        path = export.export(run, to, which, output, preprocessing=True)
        manifest = json.loads(pathlib.Path(f"{path}.json").read_text())
        assert manifest["vocabulary"] == list(reading.read_vocabulary(run))
        assert manifest["output"] == "probabilities" and manifest["input"]["dtype"] == "string"
        script += [read[to].format(str(path)), f"np.save({str(tmp_path / f'{to}-{which}')!r}, y)"]
    script.append("assert 'ban_tf' not in sys.modules")
    command = [sys.executable, "-c", "\n".join(script)]
    done = warm.run(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for to, which in cases:
        expected = language_inference.next_words(run, [line.split() for line in lines], which)
        np.testing.assert_allclose(np.load(tmp_path / f"{to}-{which}.npy"), expected, rtol=1e-4)


def test_an_export_without_preprocessing_takes_numbers_of_words(run, tmp_path):
    path = export.export(run, "keras", "1", tmp_path / "model.keras")
    manifest = json.loads(pathlib.Path(f"{path}.json").read_text())
    assert manifest["input"]["dtype"] == "int32" and manifest["output"] == "logits"
    model = keras.models.load_model(path)
    assert model(np.zeros((3, 4), "int32")).shape == (3, 4, len(manifest["vocabulary"]))
    np.testing.assert_array_equal(model.get_weights()[0], inference.load(run, "1").get_weights()[0])


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("which", ["0", "1", "ensemble"])
def test_a_litert_file_of_a_recurrent_network_needs_no_operators_of_tensorflow(
    which, run, tmp_path
):
    pytest.importorskip("tensorflow")
    path = export.export(run, "litert", which, tmp_path / "model.tflite")
    manifest = json.loads(pathlib.Path(f"{path}.json").read_text())
    assert manifest["input"]["shape"] == [1, "steps"]
    interpreter = litert.interpreter_class()(str(path))
    entry, end = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    model = language_inference.stateless(run, which)
    for words in ([[2, 3, 4]], [[5, 3, 2, 4, 3]], [[2, 3, 4]]):  # states begin at zero each time
        interpreter.resize_tensor_input(entry["index"], np.shape(words))
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], np.array(words, np.int32))
        interpreter.invoke()
        expected = model.predict(np.array(words, np.int32), verbose=0)
        np.testing.assert_allclose(interpreter.get_tensor(end["index"]), expected, atol=1e-5)


def test_a_saved_model_splits_lines_where_python_does(run, tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = export.export(run, "saved_model", "0", tmp_path / "served", preprocessing=True)
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert "\u00a0" in spaces and len(spaces) > 20
    lines = [f"{space}a{space}{space}b{space}c" for space in spaces]
    others = ["a\u200bb", "a\u180eb", "a\ufeffb", "a\x00b", "a\u2007\u200bb"]  # no white space
    served = tf.saved_model.load(str(path))
    found = served.serve(tf.constant([*lines, *others])).numpy()
    words = [line.split() for line in [*lines, *others]]
    assert words[: len(lines)] == [["a", "b", "c"]] * len(lines)
    np.testing.assert_allclose(found, language_inference.next_words(run, words, "0"), rtol=1e-4)
    assert np.ptp(found, axis=0).max() > 1e-3  # the last ones differ


def test_the_manifest_of_a_keras_file_says_where_it_splits(run, tmp_path):
    export.export(run, "keras", "0", tmp_path / "lines.keras", preprocessing=True)
    manifest = json.loads((tmp_path / "lines.keras.json").read_text())
    assert "other, such as U+00A0, has to become a space" in manifest["input"]["preprocessing"]


def test_files_that_cannot_be_read_are_named_after_the_predictions_of_others(run, place, capsys):
    lines, absent = str(place / "lines.txt"), str(place / "absent.txt")
    assert predict.main([str(run.path), lines, "--model=0"]) == 0
    expected = capsys.readouterr().out
    for files in ([lines, absent], [absent, lines]):
        assert predict.main([str(run.path), *files, "--model=0"]) == 1
        shown = capsys.readouterr()
        assert shown.out == expected
        (line,) = shown.err.splitlines()
        assert "absent.txt cannot be read as UTF-8 text (No such file or directory)." in line


def test_files_without_words_are_named(run, place, capsys):
    (place / "empty.txt").write_text("\n")
    empty, absent = str(place / "empty.txt"), str(place / "absent.txt")
    assert predict.main([str(run.path), empty]) == 2
    assert "empty.txt has no words." in capsys.readouterr().err
    assert predict.main([str(run.path), empty, absent]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "absent.txt cannot be read" in first and "empty.txt has no words." in second


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (evaluate.main, ["--dataset=digits"], "--dataset=digits has images, but"),
        (evaluate.main, ["--dataset=text:absent.txt"], "is not a file or folder"),
        (evaluate.main, ["--dataset=text", "--data_dir=x"], "--data_dir=x does nothing"),
        (
            predict.main,
            ["absent.txt"],
            "absent.txt cannot be read as UTF-8 text (No such file or directory).",
        ),
        (predict.main, ["LINES", "--model=9"], "no model 9: it must be ensemble or the number"),
        (predict.main, ["LINES", "--csv=LINES"], "is a file to predict; choose another"),
        (export.main, ["--to=litert", "--preprocessing"], "which --to=litert does not support"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(
    main, arguments, message, run, place, capsys
):
    filled = [argument.replace("LINES", str(place / "lines.txt")) for argument in arguments]
    assert main([str(run.path), *filled]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def _copied(run, folder, change_settings=None, words=None):
    path = shutil.copytree(run.path, folder / "copy")
    with RunDirectory(path) as directory:
        settings = {**directory.metadata["settings"], **(change_settings or {})}
        files = {} if words is None else {"vocabulary.json": json.dumps({"words": words}).encode()}
        directory.commit(files, metadata={"settings": settings})
    return path


@pytest.mark.parametrize("words", [[], "words", [1], None, ["<eos>"], ["a"] * 11, {}])
def test_a_vocabulary_that_is_not_the_models_is_named(words, run, place, tmp_path, capsys):
    path = _copied(run, tmp_path, words=words or "none")
    for main, arguments in (
        (predict.main, [str(place / "lines.txt")]),
        (evaluate.main, [f"--dataset=text:{place}"]),
        (export.main, ["--to=keras", f"--output={tmp_path / 'model.keras'}"]),
    ):
        assert main([str(path), *arguments]) == 2
        error = capsys.readouterr().err
        assert "vocabulary.json" in error and error.count("\n") == 1


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("settings", [{"batch_size": None}, {"batch_size": 3}, {"unroll": -1}])
def test_settings_that_are_not_the_models_are_named_in_an_evaluation(
    settings, run, place, tmp_path, capsys
):
    path = _copied(run, tmp_path, settings)
    assert evaluate.main([str(path), f"--dataset=text:{place}"]) == 2
    error = capsys.readouterr().err
    assert "manifest.json" in error and error.count("\n") == 1
