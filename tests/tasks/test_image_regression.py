"""Runs that predict a number of each image, from the table to the exported model."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from absl import flags
from PIL import Image
from sklearn import metrics

import ban_tf
from ban_tf import datasets
from ban_tf.cli import verbs
from ban_tf.config import options, registry, usage
from ban_tf.datasets import digits, rotated_digits
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.report import content
from ban_tf.runs import reading
from ban_tf.system import seeds
from ban_tf.tasks import lineage_options, runner
from ban_tf.tasks.image_regression import ImageRegression
from ban_tf.tasks.run import Run
from tests import reports
from tests.run_weights import assert_same_weights, weights

_TESTS = pathlib.Path(__file__).parents[1]


def build(input_shape, num_classes):
    """A network that trains in a second."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes),
        ]
    )


def sigmoid(input_shape, num_classes):
    """A network that cannot return all numbers."""
    model = build(input_shape, num_classes)
    model.add(keras.layers.Activation("sigmoid"))
    return model


SMALL = {
    "arch": "tests.tasks.test_image_regression:build",
    "epochs": 3,
    "gens": 2,
    "batch_size": 16,
    "augment": "none",
    "optimizer": "sgd",
    "weight_decay": 5e-4,
    "learning_rate": 0.05,
    "progress": "none",
    "report": False,
    "validation_fraction": 0.2,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table of noisy images and of their brightness."""
    root = tmp_path_factory.mktemp("numbers")
    rng = np.random.default_rng(0)
    lines = ["path,value"]
    for index in range(100):
        level = rng.uniform(20, 230)
        pixels = np.clip(rng.normal(level, 15, (8, 8)), 0, 255)
        Image.fromarray(pixels.astype("uint8")).save(root / f"{index:03}.png")
        lines.append(f"{index:03}.png,{1000 + level:.2f}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    (root / "named.csv").write_text("\n".join(lines).replace("value", "lumen") + "\n")
    return root


def _options(place, name, **changes):
    wanted = {"dataset": f"csv:{place / 'table.csv'}", **SMALL, **changes}
    wanted["objective"] = wanted.get("objective", "mse+labels")
    return options.check(options.Options(workdir=str(place / name), **wanted))


@pytest.fixture(scope="module")
def run(place):
    runner.run(_options(place, "run"))
    return Run(place / "run")


@pytest.fixture(scope="module")
def test_part(place):
    return datasets.load(f"csv:{place / 'table.csv'}", validation_fraction=0.2).test


def test_its_results_are_those_of_scikit_learn_in_the_unit_of_the_table(run, test_part):
    assert run.task is registry.of("regression:digits") is registry.of_settings(run.settings)
    summary = run.summary
    assert summary["kind"] == "regression" and summary["generations"][0]["r2"] > 0.5
    for row, model in [
        *zip(summary["generations"], (0, 1, 2), strict=True),
        (summary["ensembles"][0], "ensemble"),
    ]:
        found, true = run.predict(test_part.images, model), test_part.labels
        assert row["rmse"] == pytest.approx(metrics.root_mean_squared_error(true, found), rel=1e-4)
        assert row["mae"] == pytest.approx(metrics.mean_absolute_error(true, found), rel=1e-4)
        assert row["r2"] == pytest.approx(metrics.r2_score(true, found), abs=1e-4)
        assert row["interval"][0] < row["rmse"] < row["interval"][1]
    mean = np.mean([run.predict(test_part.images, model) for model in (1, 2)], axis=0)
    np.testing.assert_allclose(run.predict(test_part.images), mean, rtol=1e-6)
    # The labels of each range of numbers are in each part.
    assert len(true) == 20 and np.ptp(true) > 150


@pytest.mark.nightly
def test_its_report_names_the_files(run, test_part):
    page = reports.written(run.path)
    assert "Predictions against the truth" in page and "Largest residuals" in page
    assert any(f"file {name}" in page for name in test_part.files)
    rows = list(csv.reader((run.path / "predictions.csv").open()))
    assert rows[0][:2] == ["file", "target"]
    assert [row[0] for row in rows[1:]] == list(test_part.files)
    assert [float(row[1]) for row in rows[1:]] == list(test_part.labels)
    found = content.read(run.path)
    assert isinstance(found, content.NumberContent)
    # The images of the largest residuals, those of the ensemble.
    worst = np.argsort(-np.abs(found.named_predictions()["ensemble 1-2"] - found.targets))[:12]
    np.testing.assert_array_equal(found.pictures.shown, worst)
    np.testing.assert_array_equal(found.pictures.images, test_part.images[worst])
    assert page.count("Image of ") == 12


def test_files_are_predicted_a_table_is_evaluated_and_a_model_exported(run, place, capsys):
    folder, image = str(run.path), str(place / "000.png")
    assert verbs.main(["predict", folder, image, "--csv", "--model=ensemble"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading == "image,value"
    assert float(row.split(",")[1]) == pytest.approx(run.predict([image])[0], rel=1e-6)
    assert verbs.main(["predict", folder, image, "--top=2"]) == 2
    assert "is for classes" in capsys.readouterr().err
    again = run.evaluate(f"csv:{place / 'table.csv'}")
    with pytest.raises(InputError, match=r"dataset=regression:digits has angles, but .* on value"):
        run.evaluate("regression:digits")
    for ours, theirs in zip(again["generations"], run.summary["generations"], strict=True):
        assert ours["rmse"] == pytest.approx(theirs["rmse"], rel=1e-5)
    output = place / "model.keras"
    arguments = ["--to=keras", "--preprocessing", f"--output={output}", "--model=ensemble"]
    assert verbs.main(["export", folder, *arguments]) == 0
    manifest = json.loads((place / "model.keras.json").read_text())
    assert (manifest["target"], manifest["output"]) == ("value", "values")
    pixels = np.asarray(Image.open(place / "001.png"))[np.newaxis, ..., np.newaxis]
    served = keras.models.load_model(output)(pixels)
    np.testing.assert_allclose(served[:, 0], run.predict(pixels), rtol=1e-5)


@pytest.mark.filterwarnings("error:The structure of `inputs`")
def test_saved_models_take_images_as_keras_does(run, test_part):
    for name in ("generation-0/model.keras", "generation-1/model.keras", "ensemble.keras"):
        model = keras.models.load_model(run.path / name)
        assert isinstance(model.input, keras.KerasTensor)
        model(test_part.images.astype("float32"))


@pytest.mark.nightly
def test_quantized_files_are_measured_by_the_rmse(run, capsys):
    folder = str(run.path)
    assert verbs.main(["export", folder, "--to=litert", "--quantize=float16", "--model=0"]) == 0
    said = capsys.readouterr().out
    assert "test RMSE" in said and "The numbers of 20 test images change by" in said
    (name,) = reading.read_quantized_exports(run.files)
    measured = reading.read_quantized_exports(run.files)[name]
    wanted = run.summary["generations"][0]["rmse"]
    assert measured["metric"] == "rmse"
    assert measured["float32"]["error"] == pytest.approx(wanted, rel=1e-4)
    assert measured["changed"] < wanted / 10
    assert verbs.main(["report", folder]) == 0
    assert "mean change from float32" in (run.path / "report.html").read_text()


def test_generation_0_is_what_plain_keras_trains(run, place):
    checked = _options(place, "other")
    task = ImageRegression(checked, Workers())
    task.load()
    data, steps = task.data, task.steps_per_epoch()
    raw = datasets.load(checked.dataset, validation_fraction=0.2).train.labels
    with seeds.seeded(seeds.derive_seed(checked.seed, "weights", 0)):
        model = build(data.input_shape, 1)
    model.compile(lineage_options.make_optimizer(checked, checked.epochs, steps), "mse")
    images = (np.float32(data.train.images) / 255 - data.mean) / data.std
    labels = np.float32((raw - raw.mean()) / raw.std())[:, None]
    seed = seeds.derive_seed(checked.seed, "data", 0)
    for epoch in range(checked.epochs):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(images)), seed=tf.constant([seed, epoch], tf.int64)
        ).numpy()[: steps * 16]
        model.fit(images[order], labels[order], 16, shuffle=False, verbose=0)
    for ours, plain in zip(weights(run.path, 0), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_an_interrupted_run_and_an_online_teacher_train_the_same(run, place, monkeypatch):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(
            ImageRegression,
            "callbacks",
            lambda self, number, rows: [Stop()] if number == 1 else [],
        )
        with pytest.raises(RuntimeError, match="interrupted"):
            runner.run(_options(place, "parts", checkpoint_steps=2))
    runner.run(_options(place, "parts", checkpoint_steps=2))
    assert_same_weights(run.path, place / "parts", range(3))
    assert run.files.metadata["teacher_signal"]["recorded"]
    runner.run(_options(place, "online", teacher_signal="online", gens=1))
    assert_same_weights(run.path, place / "online", range(2), atol=1e-5)


@pytest.mark.nightly
def test_given_models_and_recordings_teach_in_the_unit_of_the_table(run, place):
    file = str(run.path / "generation-2/model.keras")
    found = runner.run(_options(place, "given", teacher_from=file, gens=1, epochs=1))
    assert found["generations"][0]["rmse"] == pytest.approx(run.summary["generations"][2]["rmse"])
    np.testing.assert_allclose(
        Run(place / "given").predict([place / "003.png"], 0), run.predict([place / "003.png"], 2)
    )
    data = datasets.load(f"csv:{place / 'table.csv'}", validation_fraction=0.2)
    ban_tf.record(
        lambda images: 1000 + images.mean(axis=(1, 2, 3))[:, None],
        data.train.images,
        place / "recording",
        outputs="values",
        identity="brightness",
    )
    recorded = {"teacher_from": f"recording:{place / 'recording'}", "objective": "mse"}
    found = runner.run(_options(place, "recorded", **recorded, gens=0))
    rows = Run(place / "recorded").history[0]
    assert rows[-1]["teacher_loss"] < rows[0]["teacher_loss"]
    assert found["generations"][0]["r2"] > 0.5  # as from the labels


@pytest.mark.nightly
def test_the_ensemble_of_another_column_is_distilled_into_a_final_student(place):
    dataset = f"regression:{place / 'named.csv'}"
    changes = {"dataset": dataset, "target": "lumen", "epochs": 1, "final_student": True}
    row = runner.run(_options(place, "final", **changes))["final_student"]
    run, own = Run(place / "final"), Run(place / "final" / row["directory"])
    assert run.predict([place / "005.png"]) == pytest.approx(own.predict([place / "005.png"], 0))
    assert row["rmse"] == own.summary["generations"][1]["rmse"] and row["change"] is not None
    assert run.evaluate(dataset)["generations"][0]["examples"] == 20


@pytest.mark.nightly
def test_two_replicas_train_the_run_of_one_device(run, place):
    given = {"dataset": f"csv:{place / 'table.csv'}", **SMALL, "gens": 1}
    flags = [f"--{name}={value}" for name, value in given.items()]
    flags += ["--virtual_devices=2", f"--workdir={place / 'replicas'}", "--objective=mse+labels"]
    path = os.pathsep.join([str(_TESTS.parent), str(_TESTS)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = warm.run([sys.executable, "-m", "ban_tf.main", *flags], env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 replica(s) of MirroredStrategy" in done.stdout
    assert_same_weights(run.path, place / "replicas", range(2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "path,value\na.png,red\nb.png,2",
            "has red in the column value for a.png",
        ),
        ("path,value\na.png,inf\nb.png,2", "has inf in the column value"),
        ("path,value\na.png,\nb.png,2", "empty value in line 2"),
        ("path,width,height\na.png,1,2", "must have the columns path and value, .* --target names"),
    ],
)
def test_tables_without_numbers_are_refused(content, message, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(options.OptionsError, match=message):
        _options(tmp_path, "refused", dataset=f"regression:{tmp_path / 't.csv'}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "kd"}, "is for classes, but .* choose mse, huber, bounded"),
        ({"label_smoothing": 0.1}, "--label_smoothing=0.1 is for classes"),
        ({"mixup": 0.2}, "--mixup=0.2 does nothing with .*: it is for images of classes"),
    ],
)
def test_flags_of_classes_are_refused(place, changes, message):
    with pytest.raises(options.OptionsError, match=message):
        _options(place, "refused", **changes)


def test_a_network_that_cannot_return_all_numbers_is_refused(place):
    arch = "tests.tasks.test_image_regression:sigmoid"
    with pytest.raises(InputError, match="ends in a sigmoid, which not all numbers come out of"):
        runner.run(_options(place, "refused", arch=arch))
    assert not list((place / "refused").glob("generation-*"))


def test_columns_decide_between_classes_labels_and_numbers(tmp_path):
    for columns, name in (
        ("path,value", "image_regression"),
        ("path,label,value", "image_classification"),
        ("path,labels,value", "multi_label_images"),
        ("value,size", "tables"),
    ):
        (tmp_path / "t.csv").write_text(columns)
        assert registry.of(f"csv:{tmp_path / 't.csv'}").name == name
    assert registry.of(f"regression:{tmp_path / 't.csv'}").name == "image_regression"


def test_whole_numbers_in_a_column_label_are_pointed_to_the_task_for_numbers(place):
    lines = (place / "table.csv").read_text().replace("value", "label")
    (place / "labels.csv").write_text(lines)
    with pytest.raises(InputError, match=r"no classes, give name=regression:FILE"):
        datasets.load(f"csv:{place / 'labels.csv'}")
    assert datasets.load(f"regression:{place / 'labels.csv'}").of_numbers


def test_help_with_a_dataset_shows_the_flags_of_its_task():
    values = flags.FlagValues()
    options.define_flags(values)
    for dataset, there, absent in (
        ("regression:digits", "--target ", "--class_weight "),
        ("table:wine", "--categorical_columns ", "--mixup "),
        ("segmentation", "--void_label ", "--monitor "),
    ):
        page = usage.usage(values, [f"--dataset={dataset}", "--help"])
        assert there in page and absent not in page and "--epochs " in page
        assert page == usage.usage(values, ["--dataset", dataset, "--help"])
    assert all(f"--{name} " in usage.usage(values) for name in ("target", "mixup", "monitor"))


def test_rotated_digits_are_turned_by_their_angles():
    data, upright = rotated_digits.load(), digits.load().train.images[..., 0]
    assert data.class_names == ("angle",) and data.train.images.shape[1:] == (16, 16, 1)
    assert 44 < np.abs(data.train.labels).max() <= 45 and abs(data.train.labels.mean()) < 2
    for index in np.flatnonzero(np.abs(data.train.labels) > 30)[:5]:
        image, plain = data.train.images[index, ..., 0], Image.fromarray(upright[index])
        back = Image.fromarray(image).rotate(-data.train.labels[index], Image.Resampling.BILINEAR)
        plain = np.ravel(plain.resize((16, 16), Image.Resampling.BILINEAR))
        turned, still = (np.corrcoef(np.ravel(one), plain)[0, 1] for one in (back, image))
        assert turned > 0.9 and turned > still + 0.1
