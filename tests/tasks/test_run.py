"""`ban_tf.Run`: a run as the library reads it."""

import contextlib
import io
import json

import docstring_examples
import keras
import numpy as np
import one_convolution
import pytest
from PIL import Image
from scipy.special import softmax

import ban_tf
from ban_tf import datasets
from ban_tf.cli import report
from ban_tf.config import options
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.report import content
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import results, runner


def _options(folder, **changes):
    given = {"gens": 2, "epochs": 1, "arch": one_convolution.ARCH, "train_examples": 150}
    given |= {"progress": "none", "report": False, **changes}
    return options.check(options.Options(workdir=str(folder), **given))


@pytest.fixture(scope="module")
def printed():
    """What is printed while the runs are trained."""
    return io.StringIO()


@pytest.fixture(scope="module")
def folders(tmp_path_factory, printed):
    root = tmp_path_factory.mktemp("runs")
    found = [root / f"seed-{seed}" for seed in (0, 1)]
    with contextlib.redirect_stdout(printed):
        for seed, folder in enumerate(found):
            runner.run(_options(folder, seed=seed))
    return found


@pytest.fixture(scope="module")
def run(folders):
    return ban_tf.Run(folders[0])


@pytest.fixture(scope="module")
def images():
    return datasets.load("digits", validation_fraction=0.1, seed=0).test.images[:7]


def test_its_parts_are_those_of_the_files(run, folders):
    assert run.generations == [0, 1, 2]
    assert run.settings["arch"] == one_convolution.ARCH
    assert run.task.name == "image_classification"
    assert {number: len(rows) for number, rows in run.history.items()} == {0: 1, 1: 1, 2: 1}
    assert run.history[1][0]["val_accuracy"] >= 0
    assert [row["generation"] for row in run.summary["generations"]] == [0, 1, 2]
    assert repr(run) == f"Run({str(folders[0])!r})"


def test_its_example_runs(folders, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name, folder in zip(("digits-wrn-16-1-kd+labels-0", "other"), folders, strict=True):
        (tmp_path / "runs" / name).symlink_to(folder)
    (example,) = docstring_examples.blocks()["ban_tf.Run"]
    exec(example, {"ban_tf": ban_tf, "images": images})


def test_models_are_the_files(run, folders):
    stored = keras.models.load_model(folders[0] / "generation-2" / "model.keras")
    for ours, theirs in zip(run.model(2).get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert run.ensemble().output_shape == (None, 10)


def test_predictions_are_the_mean_of_the_members(run, images):
    facts = ban_tf.Run(run.files.path)
    shown = (images / 255.0).astype("float32")
    mean, std = (np.float32(_data(run)[key]) for key in ("mean", "std"))
    members = [
        softmax(np.asarray(facts.model(number)((shown - mean) / std), "float64"), axis=-1)
        for number in (1, 2)
    ]
    np.testing.assert_allclose(run.predict(images), np.mean(members, axis=0), atol=1e-5)
    np.testing.assert_allclose(run.predict(images, model=1), members[0], atol=1e-5)


def test_the_model_of_the_best_validation_result_is_preferred(run):
    fraction = run.settings["validation_fraction"]
    data = datasets.load("digits", validation_fraction=fraction, train_examples=150, seed=0)
    images, labels = data.validation.images, data.validation.labels
    errors = {
        str(model): float(np.mean(run.predict(images, model=model).argmax(axis=-1) != labels))
        for model in (0, 1, 2, "ensemble")
    }
    assert run.summary["validation"] == {"metric": "error", "models": pytest.approx(errors)}
    best = run.preferred.model
    assert errors[best] == min(errors.values())
    which = best if best == "ensemble" else int(best)
    np.testing.assert_array_equal(run.predict(images[:3], "best"), run.predict(images[:3], which))


def _data(run):
    return json.loads((run.files.path / "data.json").read_text())


def test_files_of_images_are_as_good_as_arrays(run, images, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image[..., 0]).save(path)
    np.testing.assert_allclose(run.predict(paths), run.predict(images[:3]), atol=1e-12)


def test_runs_are_compared_over_seeds(run, folders):
    result = run.compare(folders[1])
    (group,) = result["groups"]
    assert group["seeds"] == [0, 1]
    errors = [ban_tf.Run(folder).summary["generations"][0]["error"] for folder in folders]
    assert group["rows"][0]["metrics"]["error"]["values"] == errors
    assert run.compare(ban_tf.Run(folders[1])) == result


@pytest.mark.parametrize("model", [3, -1, 1.0, True, "1", "first", None])
def test_models_that_are_not_there_are_a_sentence(run, images, model):
    with pytest.raises(InputError, match=r"finished generation \(0, 1, 2\)\. Received"):
        run.predict(images, model=model)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda x: x / 255.0, lambda x: x[:, :4], lambda x: x[..., 0], lambda x: x[0]),
        *(lambda x: x[:0], lambda x: [], lambda x: [x[0], x[1, :4]], lambda x: [x[0], "1.png"]),
        *(lambda x: (x.astype(int) + 256).tolist(), lambda x: (x - 1.0).tolist()),
        *(lambda x: None, lambda x: "1.png", lambda x: {"images": x}, lambda x: iter(x)),
    ],
)
def test_what_holds_no_images_of_the_run_is_refused(run, images, change):
    with pytest.raises(InputError, match=r"`inputs` must be uint8 of shape \('images', 8, 8, 1\)"):
        run.predict(change(images))


@pytest.mark.parametrize("form", [list, np.ndarray.tolist, keras.ops.convert_to_tensor])
def test_images_may_be_a_list_or_a_tensor(run, images, form):
    np.testing.assert_array_equal(run.predict(form(images)), run.predict(images))


def test_what_is_no_path_or_name_is_a_sentence(run):
    for call, argument in (
        (lambda: ban_tf.Run(None), "`path` must be the directory of a run"),
        (lambda: run.compare(["other"]), "`path` must be the directory of a run"),
        (lambda: run.evaluate(None), "`dataset` must be the name of a dataset"),
    ):
        with pytest.raises(InputError, match=argument):
            call()


def test_what_is_no_run_or_unfinished_is_refused(tmp_path, run):
    with pytest.raises(RunDirectoryError):
        ban_tf.Run(tmp_path / "nowhere")
    with RunDirectory(tmp_path / "begun") as begun:
        begun.commit(metadata={"settings": {"dataset": "digits"}})
    begun = ban_tf.Run(tmp_path / "begun")
    assert begun.generations == []
    assert begun.history == {}
    with pytest.raises(InputError, match="no finished generation"):
        begun.evaluate("digits")
    with pytest.raises(InputError, match="none yet"):
        begun.model(0)
    with pytest.raises(InputError, match="no results yet"):
        run.compare(begun)


def test_data_of_another_task_is_refused(run):
    with pytest.raises(InputError, match="dataset=text has text"):
        run.evaluate("text")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_dir": "x"}, "data_dir=x does nothing with dataset=digits; it is for TFDS"),
        ({"skip_bad_files": True}, "`skip_bad_files` does nothing with dataset=digits"),
        ({"skip_bad_files": "yes"}, "`skip_bad_files` must be True or False"),
    ],
)
def test_arguments_without_effect_are_refused(run, arguments, message):
    with pytest.raises(InputError, match=message):
        run.evaluate("digits", **arguments)


def test_evaluation_on_the_same_data_gives_the_same_error(run):
    found = run.evaluate("digits")
    assert [row["error"] for row in found["generations"]] == [
        row["error"] for row in run.summary["generations"]
    ]


@pytest.mark.nightly
def test_a_run_without_a_report_says_how_to_write_it(folders, printed, capsys):
    page = folders[1] / "report.html"
    assert not page.exists() and "report.html" not in (folders[1] / "summary.md").read_text()
    assert f"Write report.html:  ban-tf report {folders[1]}\n" in printed.getvalue()
    assert report.main([str(folders[1])]) == 0
    assert page.stat().st_size > 10_000
    with RunDirectory(folders[1]) as directory:  # of earlier results it is removed
        found = content.read(folders[1])
        results.write_page(found, _options(folders[1]), directory)
        assert not page.exists()
        results.write_page(found, _options(folders[1], report=True), directory)
    assert page.is_file()
