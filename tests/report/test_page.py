"""`report.html`: one file, real tables, words for every picture, the numbers of the run."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import itertools
import json
import pathlib
import re
import subprocess
import sys

import finished_run
import numpy as np
import pytest

from ban_tf import datasets
from ban_tf.cli import report as report_command
from ban_tf.datasets import thumbnails
from ban_tf.errors import CorruptFileError
from ban_tf.metrics import ensembles
from ban_tf.report import class_sections, content, examples, page, predictions
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import leakage


class Outline(html.parser.HTMLParser):
    """What matters of a page: its elements in order, the text of cells, whether tags are closed."""

    _VOID = ("meta", "img", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.elements, self.cells, self.open, self.ids = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in self._VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return content.read(finished_run.make(tmp_path_factory.mktemp("report") / "run"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of one generation, whose page is written sooner."""
    return content.read(finished_run.make(tmp_path_factory.mktemp("small") / "run", generations=1))


@pytest.fixture(scope="module")
def text(run):
    return page.write(run)


@pytest.fixture(scope="module")
def outline(text):
    return Outline(text)


def test_the_page_needs_no_other_file(outline):
    assert outline.all("script") == [{}] and not outline.all("link")
    assert all(image["src"].startswith("data:image/") for image in outline.all("img"))
    targets = [link["href"] for link in outline.all("a")]
    inside = {target.removeprefix("#") for target in targets if target.startswith("#")}
    assert inside <= set(outline.ids)
    assert {target for target in targets if not target.startswith("#")} == {"predictions.csv"}


def test_every_picture_has_words_and_every_table_a_caption_and_scopes(outline):
    assert len(outline.all("img")) >= 6
    assert all(len(image["alt"]) > 15 for image in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    scopes = [cell.get("scope") for cell in outline.all("th")]
    assert set(scopes) == {"row", "col"}
    assert outline.all("html") == [{"lang": "en"}]
    assert any("width=device-width" in meta.get("content", "") for meta in outline.all("meta"))


def test_headings_descend_step_by_step(outline):
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_what_scrolls_can_be_reached_by_key(outline):
    scrolling = [entry for entry in outline.all("div") if entry.get("class") == "wide"]
    assert scrolling
    assert all(entry["tabindex"] == "0" and entry["aria-label"] for entry in scrolling)


def test_the_cells_are_the_numbers_of_the_run(run, outline):
    for row in (*run.summary["generations"], *run.summary["ensembles"]):
        assert f"{100 * row['error']:.2f}" in outline.cells
        assert f"{row['brier_score']:.4f}" in outline.cells
        change = row["change_in_error"]
        if change:
            assert f"{change['mcnemar_p']:.3g}" in outline.cells
            assert f"{change['adjusted_p']:.3g}" in outline.cells
    disagreement = ensembles.pairwise_disagreement(run.predictions)
    assert f"{100 * disagreement[0, 2]:.2f}" in outline.cells


def test_words_of_the_user_are_text_and_not_markup(text):
    assert "<b>fox" not in text
    assert "&lt;b&gt;fox" in text


def test_command_versions_hardware_and_time_are_shown(text, outline):
    assert "python -m ban_tf.main --epochs=2" in text
    for cell in ("3.15.1", "abacus, 2 cores", "10 seconds"):
        assert cell in outline.cells


def test_a_clear_gain_is_called_better_and_none_no_significant_difference(tmp_path, outline):
    assert "better" in outline.cells
    same = content.read(finished_run.make(tmp_path / "same", generations=2, gain=0.0))
    cells = Outline(page.write(same)).cells
    assert "better" not in cells
    assert "no significant difference" in cells


def test_a_single_generation_has_a_report_too(tmp_path):
    alone = content.read(finished_run.make(tmp_path / "alone", generations=1))
    assert "Nothing to compare with generation 0 yet." in page.write(alone)


def test_changes_are_what_they_are_called_and_the_clearest_come_first():
    probabilities = np.full((2, 5, 2), 0.5)
    labels = np.array([0, 0, 0, 1, 1])
    probabilities[0, :, 0] = [0.4, 0.1, 0.9, 0.2, 0.3]
    probabilities[1, :, 0] = [0.6, 0.9, 0.9, 0.7, 0.4]
    probabilities[..., 1] = 1 - probabilities[..., 0]
    found = examples.changes(*np.log(probabilities), labels)
    assert [change.index for change in found.fixed] == [1, 0]
    assert found.regressed == [examples.Change(index=3, label=1, before=1, after=0)]
    shown = examples.select_examples(np.log(probabilities), labels)
    assert shown.tolist() == [0, 1, 3]


def test_all_newly_right_and_wrong_examples_are_shown_with_their_images(run, text):
    for number in (1, 2):
        found = examples.changes(*run.predictions[number - 1 : number + 1], run.test.labels)
        for change in (*found.fixed[: examples.SHOWN], *found.regressed[: examples.SHOWN]):
            assert f'alt="Image of test example {change.index}: ' in text


def test_confident_mistakes_are_the_wrong_predictions_of_the_highest_probability(run, text):
    rows, labels = run.predictions[-1], run.test.labels
    found = examples.confident_mistakes(rows, labels)
    wrong = rows.argmax(axis=-1) != labels
    assert wrong[found].all() and len(found) == min(examples.SHOWN, wrong.sum())
    assert rows[found].max(axis=-1).min() >= np.sort(rows[wrong].max(axis=-1))[-len(found)]
    assert "Most confident mistakes" in text
    for index in found:
        assert f'alt="Image of test example {index}: true ' in text


def test_examples_have_the_names_of_their_files(run):
    files = tuple(f"=cat/{number}.png" for number in range(len(run.test.labels)))
    named = dataclasses.replace(run, names=files)
    index = examples.confident_mistakes(run.predictions[-1], run.test.labels)[0]
    assert f'alt="Image of =cat/{index}.png: true ' in page.write(named)
    rows = list(csv.reader(predictions.write(named).decode().splitlines()))
    members, mean = run.ensemble()
    last = f"ensemble {members[0]}-{members[-1]}"
    assert rows[0][:4] == ["file", "label", "generation 0: class", "generation 0: probability"]
    assert rows[0][-2:] == [f"{last}: class", f"{last}: probability"]
    assert len(rows) == 1 + len(files)
    assert rows[1 + index][0] == f"'={files[index][1:]}"  # no formula
    assert rows[1 + index][1] == run.class_names[run.test.labels[index]]
    assert rows[1 + index][-2] == run.class_names[mean[index].argmax()]
    assert float(rows[1 + index][-1]) == pytest.approx(np.exp(mean[index].max()), abs=1e-6)


def test_of_many_classes_the_confusion_matrix_has_the_most_confused(small):
    counts = np.diag(np.full(1000, 50))
    counts[7, 900], counts[900, 7], counts[3, 500] = 20, 20, 30
    np.testing.assert_array_equal(class_sections.confused_classes(counts, 2), [7, 900])
    np.testing.assert_array_equal(class_sections.confused_classes(counts, 4), [3, 7, 500, 900])
    classes = 40
    names = tuple(f"class {number}" for number in range(classes))
    rows = [
        np.pad(p, ((0, 0), (0, classes - p.shape[1])), constant_values=-1e3)
        for p in small.predictions
    ]
    text = page.write(dataclasses.replace(small, class_names=names, predictions=rows))
    assert "the 20 most confused of 40 classes. Most often confused: class " in text


def test_large_images_are_kept_as_thumbnails():
    images = np.zeros((2, 224, 448, 3), np.uint8)
    images[:, :, 224:] = 255
    small = thumbnails.shrink(images)
    assert small.shape == (2, 80, 160, 3)
    # Apart from the edge, where Lanczos rings.
    assert not small[:, :, :76].any() and (small[:, :, 84:] == 255).all()
    assert thumbnails.shrink(images[:, :32, :32]).shape == (2, 32, 32, 3)


def test_only_tiny_images_are_shown_as_squares(small, text):
    assert 'class="pixelated"' in text
    large = small.test.images.repeat(20, axis=1).repeat(20, axis=2)
    shown = dataclasses.replace(small, test=dataclasses.replace(small.test, images=large))
    assert 'class="pixelated"' not in page.write(shown)


def test_near_duplicates_are_warned_of_and_listed(text, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 1), dtype=np.uint8)
    images = images.repeat(5, axis=1).repeat(5, axis=2)
    parts = [np.arange(3), np.array([5, 2])]  # the last test image is the last training image
    train, test = (datasets.Split(images[rows], np.zeros(len(rows), int)) for rows in parts)
    test = dataclasses.replace(test, files=("cat/0.png", "cat/<1>.png"))
    none, one = train.select(np.array([], int)), np.ones(1)
    data = datasets.ImageData("folder:a", train, none, test, ("cat",), one, one, False)
    files = leakage.files(data)
    assert not leakage.files(dataclasses.replace(data, train=train.select(np.array([0]))))
    path = finished_run.make(tmp_path / "run", generations=1)
    with RunDirectory(path) as directory:
        directory.commit(files)
    warned = page.write(content.read(path))
    assert "1 of 120 test images nearly equal a training image" in warned
    assert "cat/&lt;1&gt;.png (cat)" in warned and "example 2 (cat)" in warned
    assert "nearly equal a training image" not in text


def test_names_of_files_are_kept_with_the_run(tmp_path):
    path = finished_run.make(tmp_path / "run")
    test = reading.read_test(reading.RunReader(path))
    assert test.files is None
    files = tuple(f"ä/{number}.jpg" for number in range(len(test.labels)))
    with RunDirectory(path) as directory:
        directory.commit(dataclasses.replace(test, files=files).to_files())
    assert reading.read_test(reading.RunReader(path)).files == files
    with RunDirectory(path) as directory:
        directory.commit(dataclasses.replace(test, files=files[1:]).to_files())
    with pytest.raises(CorruptFileError, match="names 119 files of 120 examples"):
        reading.read_test(reading.RunReader(path))


@pytest.mark.nightly
def test_the_command_writes_the_same_page_again_without_tensorflow(run):
    path = run.path
    script = (
        "import sys; from ban_tf.cli.report import main; code = main(sys.argv[1:]);"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), "--figures"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (path / "report.html").read_text() == page.write(run)
    assert (path / "predictions.csv").read_bytes() == predictions.write(run)
    assert (path / "figures" / "error_by_generation.png").stat().st_size > 1000
    assert (path / "summary.md").read_text().startswith("# Born-again wrn-10-1 on animals")


def _without_summary(path):
    (path / "summary.json").unlink()


def _damaged(path):
    (path / "test.npz").write_bytes(b"x" * (path / "test.npz").stat().st_size)


def _of_another_test_set(path):
    with RunDirectory(path) as directory:
        facts = json.loads(directory.read("data.json"))
        facts["class_names"].append("owl")
        directory.commit({"data.json": json.dumps(facts).encode()})


def _no_table(path):
    with RunDirectory(path) as directory:
        directory.commit({"generation-1/history.csv": b"epoch,loss\n1,many\n"})


def _torn_table(path):
    (path / "generation-1" / "history.csv").write_text("epoch,lo")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_without_summary, "no results yet; finish it first: python -m ban_tf.main"),
        (_damaged, "test.npz has changed"),
        (_of_another_test_set, "shape"),
        (_no_table, "history.csv is not a table of numbers"),
        (_torn_table, "history.csv has 8 bytes where"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence_and_code_2(harm, message, tmp_path, capsys):
    path = pathlib.Path(finished_run.make(tmp_path / "run"))
    harm(path)
    assert report_command.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name a run"), (["nowhere"], "not a run"), (["--nonsense"], "nonsense")],
)
def test_bad_arguments_are_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert report_command.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_reports_show_class_names_without_what_is_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(finished_run, "CLASSES", ("cat\u202e", "dog\x07", "fox"))
    finished_run.make(tmp_path / "run", generations=1)
    text = page.write(content.read(tmp_path / "run"))
    assert "cat\\u202e" in text
    assert not {"\u202e", "\x07"} & set(text)


@pytest.mark.nightly
def test_quantized_exports_have_a_section(tmp_path):
    finished_run.make(tmp_path / "run", generations=1)
    assert "Quantized exports" not in page.write(content.read(tmp_path / "run"))
    entry = {
        **{"kind": "int8", "calibration_examples": 300, "test_examples": 120, "changed": 0.0125},
        "float32": {"error": 0.1, "bytes": 320_400, "milliseconds": 0.25},
        "quantized": {"error": 0.125, "bytes": 98_100, "milliseconds": 0.125},
    }
    (tmp_path / "run" / "export").mkdir()
    manifest = tmp_path / "run" / "export" / "ensemble-litert-int8.tflite.json"
    manifest.write_text(json.dumps({"format": "litert", "quantization": entry}))
    (tmp_path / "run" / "export" / "plain.tflite.json").write_text('{"format": "litert"}')
    text = page.write(content.read(tmp_path / "run"))
    assert "Quantized exports" in text and "plain.tflite" not in text
    for cell in ("ensemble-litert-int8.tflite", "12.50", "320", "98", "0.125", "1.25"):
        assert f">{cell}<" in text
    manifest.write_text(json.dumps({"quantization": {**entry, "float32": {}}}))
    with pytest.raises(CorruptFileError, match=r"int8\.tflite\.json: quantization\.float32"):
        content.read(tmp_path / "run")
