"""`report.html`: one file, real tables, words for every picture, the numbers of the run."""

from __future__ import annotations

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

from ban_tf.cli import report as report_command
from ban_tf.metrics import ensembles
from ban_tf.report import content, examples, page
from ban_tf.runs.rundir import RunDirectory


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
def text(run):
    return page.write(run)


@pytest.fixture(scope="module")
def outline(text):
    return Outline(text)


def test_the_page_needs_no_other_file(outline):
    assert not outline.all("script") and not outline.all("link")
    assert all(image["src"].startswith("data:image/") for image in outline.all("img"))
    targets = [link["href"] for link in outline.all("a")]
    assert {target.removeprefix("#") for target in targets} <= set(outline.ids)


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


def test_command_versions_hardware_and_time_are_told(text, outline):
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
    finished_run.make(tmp_path / "run")
    text = page.write(content.read(tmp_path / "run"))
    assert "cat\\u202e" in text
    assert not {"\u202e", "\x07"} & set(text)
