"""The documentation is current, and what it tells to type works."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import re
import shlex
import sys

import numpy as np
import one_convolution
import pytest
import scripts
import warm
from absl import flags
from PIL import Image

from ban_tf import architectures
from ban_tf.cli import seed_sweep, train, verbs
from ban_tf.config import options
from ban_tf.distillation import recorded_outputs
from ban_tf.tasks import runner
from ban_tf.tasks.run import Run
from tests.tasks import segmenters

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")])
# Run in this process: each new one costs seconds to import TensorFlow.
_IN_PROCESS = ("evaluate", "export", "predict", "report", "runs")


def _blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@functools.cache
def _generated():
    return scripts.load("docs/generate.py").pages()


@pytest.mark.parametrize("name", ["flags.md", "api.md", "reference.md"])
def test_generated_pages_are_current(name):
    assert (DOCS / name).read_text() == _generated()[name], "run: python docs/generate.py"


@pytest.mark.parametrize(
    "page", ["README.md", *(path.relative_to(ROOT).as_posix() for path in PAGES)]
)
def test_links_and_pictures_exist(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith(("http:", "https:")):
            assert ((ROOT / page).parent / target).exists(), target


def test_every_command_named_in_the_documentation_exists():
    for path in (ROOT / "README.md", *PAGES):
        for module in re.findall(r"python -m (ban_tf[.\w]*)", path.read_text()):
            assert importlib.util.find_spec(module) is not None, f"{path.name}: {module}"
        for verb in re.findall(r"(?:^|`)ban-tf (\w+)", path.read_text(), re.MULTILINE):
            assert verb in verbs.VERBS, f"{path.name}: ban-tf {verb}"


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("page", ["how-to/export.md", "recordings.md", "how-to/teacher.md"])
def test_the_snippets_of_a_page_run_one_after_another(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in _blocks(page, "python"):
        exec(block, names)
    assert list(tmp_path.iterdir())


def test_every_page_is_in_the_navigation_and_every_included_file_exists():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]
    listed = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    site = scripts.load("docs/site.py")
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES} - {"api.md"}
    assert listed == pages | set(site.ROOT_PAGES.values())
    for path in PAGES:
        for included in re.findall(r'--8<-- "(.*)"', path.read_text()):
            assert (ROOT / included).is_file(), included


def test_links_out_of_the_folder_become_those_of_the_site():
    links = scripts.load("docs/site.py")._links
    assert links("[a](docs/tasks.md#b)", ROOT) == "[a](tasks.md#b)"
    assert links("[a](../ARCHITECTURE.md)", DOCS) == "[a](architecture.md)"
    assert links("[a](../tutorial.md)", DOCS / "how-to") == "[a](../tutorial.md)"
    assert links("[a](results/lstm.json)", DOCS) == "a"  # the site has no data files
    assert links("[a](LICENSE) [b](https://c.d/)", ROOT) == "a [b](https://c.d/)"


def _train(arguments, *quick):
    """Trains as a command of a page does, but quickly and without a report."""
    values = flags.FlagValues()
    options.define_flags(values)
    words = ["ban-tf train", *arguments, *quick, "--progress=none", "--noreport"]
    chosen = train.checked(train.parse(words, values), values)
    if chosen.seeds > 1:
        seed_sweep.run(chosen, runner.run)
    else:
        runner.run(chosen)


def _type(block, capsys, *quick):
    """Runs the commands of a block as they are, but trainings quickly."""
    for command in block.splitlines():
        program, verb, *arguments = shlex.split(command)
        assert program == "ban-tf"
        if verb in _IN_PROCESS:
            assert verbs.main([verb, *arguments]) == 0, capsys.readouterr().err
        else:
            _train(arguments, *quick)


def _draw(folder, size=16):
    """Circles and squares, a few pixels wide."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    shapes = {"circle": np.hypot(x, y) < 6, "square": np.maximum(abs(x), abs(y)) < 6}
    for part, count in (("train", 24), ("test", 8)):
        for name, shape in shapes.items():
            (folder / part / name).mkdir(parents=True)
            for number in range(1, count + 1):
                noisy = shape * 160 + rng.integers(96, size=shape.shape)
                Image.fromarray(noisy.astype("uint8")).save(
                    folder / part / name / f"{number:03d}.png"
                )


@pytest.mark.parametrize("seeds", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_the_tutorial_goes_from_images_to_an_exported_ensemble(
    seeds, tmp_path, monkeypatch, capsys
):
    """Each night with its training over several seeds, which nothing after it needs."""
    _draw(tmp_path / "my_images")
    monkeypatch.chdir(tmp_path)
    for command in _blocks("tutorial.md", "bash"):
        program, verb, *arguments = shlex.split(command)
        assert program == "ban-tf"
        if verb in _IN_PROCESS:
            assert verbs.main([verb, *arguments]) == 0, capsys.readouterr().err
        elif "--workdir=runs/seeds" not in arguments:
            _train(arguments, "--gens=2", "--epochs=1", f"--arch={one_convolution.ARCH}")
        elif seeds:
            quick = ("--seeds=2", "--gens=0", "--epochs=1")
            _train(arguments, *quick, f"--arch={one_convolution.ARCH}")
    out = capsys.readouterr().out
    assert re.search(r"001\.png\t(circle|square)\t0\.\d+|001\.png\t(circle|square)\t1\.0", out)
    assert "finished" in out
    for name in ("runs/mine/report.html", "predictions.csv"):
        assert (tmp_path / name).is_file()
    assert (tmp_path / "runs/seeds/report.html").is_file() == seeds
    served, read = _blocks("tutorial.md", "python")
    exec(served, {})
    assert "'circle'" in capsys.readouterr().out
    exec(read, {})
    assert capsys.readouterr().out.startswith("[0, 1, 2] ")


def _write(folder):
    """Reviews of two kinds, as files and as a table."""
    rng = np.random.default_rng(0)
    words = {"praise": ["wonderful", "great", "love"], "blame": ["bad", "boring", "waste"]}
    rows = ["text,label"]
    for part, count in (("train", 20), ("test", 6)):
        for name, own in words.items():
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                text = " ".join(rng.choice([*own, "the", "book", "it", "is"], 6))
                (folder / part / name / f"{number}.txt").write_text(text)
                rows.append(f"{text},{name}")
    (folder.parent / "more.csv").write_text("\n".join(rows[:4] + rows[-3:]))
    (folder.parent / "lines.txt").write_text("a great book\nwhat a waste\n")


@pytest.mark.nightly
def test_the_commands_for_texts_run(tmp_path, monkeypatch, capsys):
    _write(tmp_path / "reviews")
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("documents.md", "bash")
    _type(block, capsys, "--epochs=3", "--gens=1")
    assert (tmp_path / "predicted.csv").read_text().startswith("file,line,class,blame,praise")
    use, teach = _blocks("documents.md", "python")
    exec(use, {})
    assert "shape=(2, 2)" in capsys.readouterr().out
    exec(teach, {})
    recorded = recorded_outputs.RecordedOutputs("recordings/linear")
    assert recorded.manifest.class_names == sorted(recorded.manifest.class_names)


@pytest.mark.nightly
def test_the_commands_for_tables_run(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    lines = ["size (m2),color,sold,price"]
    for row in range(100):
        size, color = rng.normal(100, 20), ("red", "green", "")[row % 3]
        price = 2000 * size + rng.normal(0, 9000)
        lines.append(f"{size:.0f},{color},2024-{row % 12 + 1:02}-10,{price:.0f}")
    for name, count in (("houses", 101), ("new", 4), ("more", 30)):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines[:count]))
    monkeypatch.chdir(tmp_path)
    first, second = _blocks("tables.md", "bash")
    use, teach = _blocks("tables.md", "python")
    quick = ("--epochs=2", "--gens=1", "--arch=mlp-1-4")
    _type(first, capsys, *quick)
    exec(use, {})
    assert "shape=(1, 1)" in capsys.readouterr().out
    assert len((tmp_path / "predicted.csv").read_text().splitlines()) == 4
    exec(teach, {})
    _type(second, capsys, *quick)
    assert Run("runs/taught").summary["generations"][0]["taught_by"] != "labels"


@pytest.mark.nightly
def test_the_commands_for_masks_run(tmp_path, monkeypatch, capsys):
    segmenters.draw(tmp_path / "cells", {"train": 24, "test": 6})
    segmenters.draw(tmp_path / "more", {".": 4})
    (tmp_path / "new").mkdir()
    (tmp_path / "cells/test/images/0.png").rename(tmp_path / "new" / "cell.png")
    (tmp_path / "cells/test/masks/0.png").unlink()
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("segmentation.md", "bash")
    _type(block, capsys, "--epochs=2", "--gens=1", "--batch_size=8", "--arch=unet-1-4")
    with Image.open(tmp_path / "predicted" / "cell.png") as mask:
        assert mask.size == (20, 16)
    (block,) = _blocks("segmentation.md", "python")
    exec(block, {})
    assert "(16, 20)" in capsys.readouterr().out


@pytest.mark.nightly
def test_the_commands_for_the_next_word_run(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(["tea", "with", "milk", "or", "ice"], 8)) for _ in range(120)]
    for name, count in (("book", 120), ("other", 12), ("lines", 2)):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines[:count]))
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("text.md", "bash")
    small = ("--arch=lstm-1-4", "--batch_size=4", "--unroll=10")
    _type(block, capsys, *small, "--epochs=1", "--gens=1")
    printed = capsys.readouterr().out
    assert re.search(r"\t[\w<>]+ 0\.\d{4}  [\w<>]+ 0\.\d{4}", printed)  # words after a line
    (block,) = _blocks("text.md", "python")
    exec(block, {})
    assert "(1, 6)" in capsys.readouterr().out


@pytest.mark.nightly
def test_the_commands_for_pretrained_backbones_run(tmp_path, monkeypatch):
    _draw(tmp_path / "my_images", size=32)
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("pretrained.md", "bash")
    for command in block.replace("\\\n", "").splitlines():
        program, verb, *arguments = shlex.split(command)
        assert (program, verb) == ("ban-tf", "train")
        # Without weights from a network.
        quick = ("--epochs=2", "--freeze=until:1") if "--freeze=until:5" in arguments else ()
        _train(arguments, "--epochs=1", *quick, "--weights=none", "--gens=0", "--batch_size=43")
    assert Run("runs/frozen").model(0).name == "mobilenetv2_1.00_32"
    assert Run("runs/tuned").generations == [0]


@pytest.mark.nightly
def test_the_lineage_of_pretrained_backbones_is_built(monkeypatch):
    build = architectures.pretrained
    offline = functools.partial(build, weights="none")
    monkeypatch.setattr(architectures, "pretrained", offline)
    (block,) = _blocks("pretrained.md", "python")
    given = {}
    exec(block, given)
    assert given["lineage"].builder(1)().output_shape == (None, 5)


@pytest.mark.nightly
@pytest.mark.parametrize("page", ["multi-label.md", "regression.md"])
def test_the_pages_on_several_labels_and_on_numbers_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = f"--arch={one_convolution.ARCH}"
    _type(_blocks(page, "bash")[0], capsys, "--epochs=1", "--train_examples=200", network)
    capsys.readouterr()
    (block,) = _blocks(page, "python")
    exec(block, {})
    assert capsys.readouterr().out.count("[") == (3 if page == "multi-label.md" else 1)


@pytest.mark.nightly
def test_the_page_on_choosing_repeats_its_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("choosing.md", "bash")
    for command in block.splitlines():
        program, verb, *arguments = shlex.split(command)
        assert program == "ban-tf"
        if verb in _IN_PROCESS:
            assert verbs.main([verb, *arguments]) == 0
            continue
        network = f"--arch={one_convolution.ARCH}"
        _train(arguments, "--epochs=1", "--gens=0", "--seeds=2", "--train_examples=64", network)
    page = (tmp_path / "runs" / "compared" / "report.html").read_text()
    assert "labels" in page


def test_the_commands_for_many_machines_are_accepted():
    """They are parsed alone: `tests/distribution` trains on replicas and with workers."""
    commands = [
        shlex.split(line, comments=True) for line in _blocks("scaling.md", "bash")[0].splitlines()
    ]
    assert [command[:2] for command in commands] == [
        ["ban-tf", "train"],
        ["ban-tf", "train"],
        ["ban-tf", "launch"],
    ]
    for command in commands:
        arguments = command[2:] if "--" not in command else command[command.index("--") + 1 :]
        values = flags.FlagValues()
        options.define_flags(values)
        assert train.checked(train.parse(["ban-tf train", *arguments], values), values).gens == 3


@pytest.mark.nightly
def test_the_python_code_for_many_machines_runs(tmp_path):
    given = """
import keras, numpy as np, tensorflow as tf
import ban_tf
def my_model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
my_teacher = my_model
train = tf.data.Dataset.from_tensor_slices((np.zeros((8, 2)), np.zeros(8, int))).batch(4)
validation = train
"""
    (block,) = _blocks("scaling.md", "python")
    script = given + block.replace("epochs=30", "epochs=1, verbose=0")
    warm.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
