"""`--student_arch=A,B`: students of several sizes learn from one teacher, and are compared."""

import json
import re
import sys

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.cli import student_sweep
from ban_tf.config import options
from ban_tf.errors import RunDirectoryError
from ban_tf.report import students_page
from ban_tf.tasks import runner

_MODULE = """
import keras


def _network(shape, classes, width):
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(width, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes),
        ]
    )


def large(shape, classes):
    return _network(shape, classes, 16)


def middle(shape, classes):
    return _network(shape, classes, 8)


def small(shape, classes):
    return _network(shape, classes, 2)
"""
_TINY = {
    **{"arch": "sizes:large", "student_arch": "sizes:middle,sizes:small", "gens": 1, "epochs": 1},
    **{"train_examples": 60, "batch_size": 27, "progress": "none", "strategy": "one"},
    **{"augment": "none", "teacher_signal": "recorded", "report": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("students")
    (place / "sizes.py").write_text(_MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        yield place
    sys.modules.pop("sizes", None)


def _options(folder, **changes):
    return options.check(options.Options(**{**_TINY, "workdir": str(folder / "all"), **changes}))


@pytest.fixture(scope="module")
def result(folder):
    return student_sweep.run(_options(folder), runner.run)


@pytest.mark.nightly
def test_each_network_is_listed_with_its_own_error_and_sizes(folder, result):
    teacher, *students = result["networks"]
    assert [one["name"] for one in students] == ["sizes:middle", "sizes:small"]
    assert teacher["name"] == "teacher, sizes:large" and teacher["change_in_error"] is None
    assert [one["parameters"] for one in result["networks"]] == [330, 170, 50]
    for number, (name, one) in enumerate(
        [
            ("teacher", teacher),
            ("student-sizes_middle", students[0]),
            ("student-sizes_small", students[1]),
        ]
    ):
        run, generation = ban_tf.Run(folder / "all" / name), min(number, 1)
        row = run.summary["generations"][generation]
        assert one["error"] == row["error"]
        assert one["bytes"] == (run.path / f"generation-{generation}/model.keras").stat().st_size
        assert one["milliseconds"] > 0
    assert result == json.loads((folder / "all" / "summary.json").read_text())
    page = (folder / "all" / "report.html").read_text()
    assert "<svg" in page or "image/svg+xml" in page
    table = (folder / "all" / "summary.md").read_text()
    for one in result["networks"]:
        for text in (page, table):
            assert f"{100 * one['error']:.2f}" in text and one["name"] in text
    assert re.search(r"\| sizes:small \|.*\[.*\| 50 \|", table)


@pytest.mark.nightly
def test_all_students_have_one_teacher_which_is_recorded_once(folder, result):
    runs = [ban_tf.Run(folder / "all" / f"student-sizes_{name}") for name in ("middle", "small")]
    hashes = {run.settings["teacher_from"] for run in runs}
    assert len(hashes) == 1 and hashes.pop().startswith("weights of hash")
    recordings = [path for path in (folder / "all" / "recordings").iterdir() if path.is_dir()]
    assert len(recordings) == 2  # of the training and of the validation images


@pytest.mark.nightly
def test_the_same_command_trains_nothing_again_and_more_students_alone(folder, result, capsys):
    trained = []

    def run_one(one):
        trained.append(one.arch)
        return runner.run(one)

    before = (folder / "all" / "student-sizes_small" / "generation-1" / "model.keras").stat()
    again = student_sweep.run(_options(folder, student_arch="sizes:small"), run_one)
    assert trained == ["sizes:large", "sizes:small"]
    after = (folder / "all" / "student-sizes_small" / "generation-1" / "model.keras").stat()
    assert before.st_mtime_ns == after.st_mtime_ns
    assert again["networks"][1]["error"] == result["networks"][2]["error"]


@pytest.mark.nightly
def test_a_given_teacher_is_not_trained(folder, result):
    given = folder / "all" / "teacher" / "generation-0" / "model.keras"
    found = student_sweep.run(
        _options(folder, teacher_from=str(given), workdir=str(folder / "given")), runner.run
    )
    assert not (folder / "given" / "teacher").exists()
    assert found["networks"][0]["name"] == "teacher, model.keras"
    for one, other in zip(found["networks"], result["networks"], strict=True):
        assert one["error"] == other["error"]
    assert keras.models.load_model(given).count_params() == 330


@pytest.mark.nightly
def test_several_seeds_are_averaged_against_the_teacher_of_each(folder, result, capsys):
    settings = {"workdir": str(folder / "seeds"), "student_arch": "sizes:middle,sizes:small"}
    found = student_sweep.run(_options(folder, seeds=2, **settings), runner.run)
    seeds = [
        json.loads((folder / "seeds" / f"seed-{seed}" / "summary.json").read_text())["networks"]
        for seed in (0, 1)
    ]
    assert [one["error"] for one in seeds[0]] == [one["error"] for one in result["networks"]]
    for index, network in enumerate(found["networks"]):
        values = [seed[index]["error"] for seed in seeds]
        assert network["values"] == values
        assert network["error"] == pytest.approx(np.mean(values))
        assert network["standard_deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    gain = found["networks"][2]["change_in_error"]["difference"]
    assert gain == pytest.approx(found["networks"][2]["error"] - found["networks"][0]["error"])
    table = (folder / "seeds" / "summary.md").read_text()
    assert " ± " in table and "paired by seed" in table
    assert "0 to 1" in (folder / "seeds" / "report.html").read_text()
    with pytest.raises(RunDirectoryError):
        student_sweep.run(
            _options(folder, **{**settings, "workdir": str(folder / "all")}, seeds=2), 0
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gens": 2}, "--gens must be 1; it is 2"),
        ({"gens": "auto"}, "--gens must be 1; it is auto"),
        ({"final_student": True}, "--final_student must be false"),
        ({"student_arch": "wrn-10-1,wrn-10-1"}, "names a student twice"),
        ({"student_arch": "wrn-10-1,"}, "--student_arch is empty"),
        ({"student_arch": "wrn-10-1,wrn-11-1"}, "--student_arch=wrn-11-1"),
        ({"dataset": "text", "arch": "lstm", "student_arch": "lstm-1-4,lstm-1-8"}, "choose one"),
        ({"strategy": "multiworker"}, "is for one worker"),
    ],
)
def test_what_does_not_go_with_several_students_is_refused(changes, message, tmp_path):
    given = {**_TINY, "workdir": str(tmp_path), **changes}
    with pytest.raises(options.OptionsError, match=message) as caught:
        options.check(options.Options(**given))
    assert "\n" not in str(caught.value)


def test_a_run_of_one_student_is_not_written_over(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match="is a run of one student"):
        student_sweep.run(_options(tmp_path, workdir=str(tmp_path)), None)


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([2_718, 78_042], ["3k", "10k", "30k", "100k"]),
        ([78_042, 78_042], ["100k"]),
        ([900_000, 40_000_000], ["1M", "3M", "10M", "30M"]),
    ],
)
def test_the_picture_names_sizes_between_those_of_the_networks(sizes, shown):
    about = {"error": 0.2, "error_interval": [0.1, 0.3]}
    networks = [{"name": f"{size}", "parameters": size, **about} for size in sizes]
    drawn = students_page.figure({"networks": networks})
    (axes,) = drawn.axes
    low, high = axes.get_xlim()
    labels = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for tick, label in labels if low <= tick <= high] == shown
