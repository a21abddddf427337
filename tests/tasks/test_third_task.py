"""A task in a file of its own, outside of the package, is trained from the command line."""

import json
import os
import pathlib
import re
import shutil
import sys

import pytest
import warm
from absl import flags

from ban_tf.config import options, registry
from ban_tf.config.declaration import Declaration
from ban_tf.config.tasks import images, text
from ban_tf.errors import InputError
from ban_tf.runs import reading

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an installed package of one task, and a table of three classes."""
    from sklearn.datasets import load_iris

    folder = tmp_path_factory.mktemp("third")
    shutil.copy(ROOT / "examples" / "custom_task" / "table_task.py", folder)
    metadata = folder / "table_task-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: table-task\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ban_tf.tasks]\nrows = table_task:TASK\n")
    iris = load_iris()
    lines = [
        ",".join([*map(str, row), iris.target_names[label]])
        for row, label in zip(iris.data, iris.target, strict=True)
    ]
    (folder / "iris.csv").write_text("\n".join(lines))
    return folder


def _main(place, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}
    return warm.run(
        [sys.executable, "-m", "ban_tf.main", "--progress=none", *arguments],
        cwd=place,
        env=environment,
    )


def test_a_third_task_runs_from_the_command_line(place):
    done = _main(
        place, "--dataset=rows:iris.csv", "--gens=1", "--epochs=8", "--analyse", "--workdir=run"
    )
    assert done.returncode == 0, done.stderr
    assert "dense (259 parameters) on rows:iris.csv: 90 train, 30 validation" in done.stdout
    run = reading.RunReader(place / "run")
    found = reading.read_summary(run)
    assert [row["taught_by"] for row in found["generations"]] == ["labels", "generation 0"]
    assert [row["examples"] for row in found["generations"]] == [30, 30]
    assert found["generations"][1]["error"] < 0.4
    assert [row["members"] for row in found["ensembles"]] == [[0, 1]]
    assert len(reading.read_history(run, 1)) == 8
    page = (place / "run" / "report.html").read_text()
    assert "Error by generation" in page and "The gradient of distillation" in page
    assert "Confusion" not in page
    assert json.loads((place / "run" / "config.json").read_text())["arch"] == "dense"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset=rows:iris.csv", "--mixup=0.2"],
            "--mixup=0.2 does nothing with --dataset=rows:iris.csv: it is not for tables. "
            "Leave it out.",
        ),
        (
            ["--dataset=rows:iris.csv", "--arch=wrn"],
            "--arch=wrn: the networks for tables are dense, wide.",
        ),
        (
            ["--dataset=rows:iris.csv", "--compression=0.5"],
            "--compression=0.5: --arch=dense takes dropout",
        ),
        (
            ["--dataset=rows:iris.csv", "--schedule=plateau"],
            "--schedule=plateau cannot be used with --dataset=rows:iris.csv: it lowers the "
            "learning rate by perplexity, which is for language models; choose "
            "step, cosine or constant.",
        ),
        (["--dataset=rows:absent.csv"], "--dataset=rows:absent.csv names no file"),
    ],
)
def test_what_a_third_task_does_not_support_is_refused(place, arguments, message, monkeypatch):
    monkeypatch.syspath_prepend(place)
    monkeypatch.chdir(place)
    registry._from_entry_point.cache_clear()
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    with pytest.raises(options.OptionsError, match=re.escape(message)):
        options.from_flags(values)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        *[(name, images.TASK) for name in ("digits", "cifar10", "folder:text", "textual", "")],
        *[(name, text.TASK) for name in ("text", "text:letters.txt")],
    ],
)
def test_the_name_of_a_data_set_leads_to_its_task(dataset, expected):
    assert registry.of(dataset) is expected


def test_a_task_is_registered_once_by_its_prefix(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    task = Declaration("mine", "sounds", "sounds", implementation="mine:Task")
    registry.register(task)
    registry.register(task)
    assert registry.of("sounds:birds") is task
    for prefix in ("sounds", "text", "digits", "folder"):
        with pytest.raises(InputError, match="which another task has"):
            registry.register(Declaration("other", "x", prefix, implementation="other:Task"))
    with pytest.raises(InputError, match="must be a Declaration"):
        registry.register("mine")


@pytest.mark.parametrize(
    ("value", "message"),
    [("absent_module:TASK", "cannot be imported"), ("json:dumps", "it is a function")],
)
def test_an_entry_point_that_is_no_task_is_refused(tmp_path, monkeypatch, value, message):
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[ban_tf.tasks]\nbroken = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._from_entry_point.cache_clear()
    with pytest.raises(InputError, match=message):
        registry.of("broken:x")
    registry._from_entry_point.cache_clear()
