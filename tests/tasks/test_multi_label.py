"""Runs on images with several labels each, from the table to the exported model."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from PIL import Image
from scipy.special import expit
from sklearn import metrics as reference

from ban_tf.cli import verbs
from ban_tf.config import options, registry
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError
from ban_tf.report import content
from ban_tf.runs import label_files
from ban_tf.system import seeds
from ban_tf.tasks import lineage_options, runner
from ban_tf.tasks.multi_label_images import MultiLabelImages
from ban_tf.tasks.run import Run
from tests import reports
from tests.run_weights import assert_same_weights, weights

_TESTS = pathlib.Path(__file__).parents[1]
LABELS = ("blue", "green", "red")


def build(input_shape, num_classes):
    """A network that trains in a second."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes),
        ]
    )


def softmax(input_shape, num_classes):
    """A network whose labels would exclude each other."""
    model = build(input_shape, num_classes)
    model.add(keras.layers.Softmax())
    return model


SMALL = {
    "arch": "tests.tasks.test_multi_label:build",
    "epochs": 3,
    "gens": 2,
    "batch_size": 16,
    "learning_rate": 0.3,
    "augment": "none",
    "progress": "none",
    "report": False,
    "validation_fraction": 0.3,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table of noisy images, in which each label is a bright channel."""
    root = tmp_path_factory.mktemp("multi_label")
    rng = np.random.default_rng(0)
    lines = ["path,labels"]
    for index in range(120):
        holds = rng.random(3) < (0.5, 0.4, 0.3)
        pixels = rng.integers(0, 200, (8, 8, 3)) + 45 * holds
        Image.fromarray(pixels.astype("uint8")).save(root / f"{index:03}.png")
        names = ";".join(name for name, yes in zip(LABELS[::-1], holds, strict=True) if yes)
        lines.append(f"{index:03}.png,{names}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root


def _options(place, name, **changes):
    given = {"dataset": f"csv:{place / 'table.csv'}", **SMALL, **changes}
    return options.check(options.Options(workdir=str(place / name), **given))


@pytest.fixture(scope="module")
def run(place):
    runner.run(_options(place, "run"))
    return Run(place / "run")


def test_its_results_are_those_of_scikit_learn(run, place):
    assert run.task is registry.of("multilabel:digits") is registry.of_settings(run.settings)
    task = MultiLabelImages(_options(place, "other"), Workers())
    task.load()
    odds = [
        label_files.log_odds(run.files, f"generation-{number}/predictions.npz")
        for number in range(3)
    ]
    thresholds = label_files.thresholds(run.files, 3)
    assert list(thresholds) == [(0,), (1,), (2,), (1, 2), (0, 1), (0, 1, 2)]
    probabilities = expit(odds[1:]).mean(axis=0)
    true = task.data.test.labels
    row = run.summary["ensembles"][0]
    predicted = probabilities >= thresholds[1, 2]
    assert run.summary["kind"] == "multi_label" and row["members"] == [1, 2]
    assert row["hamming_loss"] == pytest.approx(reference.hamming_loss(true, predicted))
    assert row["micro_f1"] == pytest.approx(reference.f1_score(true, predicted, average="micro"))
    assert row["mean_average_precision"] == pytest.approx(
        reference.average_precision_score(true, probabilities)
    )
    assert row["mean_average_precision"] > 0.8  # noise alone would have about 0.4
    assert row["change"]["adjusted_p"] <= 1 and len(row["by_label"]["adjusted_p"]) == 3
    # Thresholds are chosen on the validation images.
    known = label_files.log_odds(run.files, "generation-2/validation.npz")
    scores = [
        reference.f1_score(task.data.validation.labels[:, 1], expit(known[:, 1]) >= at)
        for at in (thresholds[(2,)][1], *np.linspace(0.02, 0.98, 97))
    ]
    assert scores[0] == pytest.approx(max(scores))
    # The saved ensemble averages probabilities, label by label.
    images = task.data.test.images
    np.testing.assert_allclose(run.predict(images), probabilities, atol=1e-5)
    np.testing.assert_allclose(run.predict(images, 2), expit(odds[2]), atol=1e-5)


@pytest.mark.nightly
def test_its_report_shows_labels(run):
    folder = run.files.path
    page = reports.written(folder)
    for part in ("Hamming loss by generation", "Labels, by ensemble 1-2", "p, adjusted", "green"):
        assert part in page
    rows = (folder / "predictions.csv").read_text().splitlines()
    assert rows[0].startswith("file,labels,generation 0: labels,") and len(rows) == 1 + 24
    before = (folder / "predictions.csv").read_bytes()
    assert verbs.main(["report", str(folder)]) == 0
    assert (folder / "predictions.csv").read_bytes() == before
    found = content.read(folder)
    assert isinstance(found, content.LabelContent) and found.label_names == LABELS
    kept = (folder / "thresholds.json").read_bytes()
    (folder / "thresholds.json").write_bytes(kept.replace(b"0.", b"7.", 1))
    with pytest.raises(InputError, match="thresholds"):
        content.read(folder)
    (folder / "thresholds.json").write_bytes(kept)


def test_files_are_predicted_and_a_table_evaluated(run, place, capsys):
    folder = str(run.files.path)
    image = str(place / "000.png")
    assert verbs.main(["predict", folder, image, "--csv", "--model=ensemble"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading == "image,labels,blue,green,red"
    p = run.predict([image])[0]
    cells = row.split(",")
    np.testing.assert_allclose([float(cell) for cell in cells[2:]], p, atol=1e-6)
    thresholds = label_files.thresholds_of(run.files, "ensemble", 3)
    assert cells[1] == "|".join(
        LABELS[label] for label in np.argsort(-p) if p[label] >= thresholds[label]
    )
    assert verbs.main(["predict", folder, image, "--top=1", "--model=0"]) == 0
    best = run.predict([image], 0)[0]
    assert capsys.readouterr().out.split("\t")[1:] == [LABELS[best.argmax()], f"{best.max():.4f}\n"]
    again = run.evaluate(f"csv:{place / 'table.csv'}")
    for ours, theirs in zip(again["ensembles"], run.summary["ensembles"], strict=True):
        assert ours["hamming_loss"] == theirs["hamming_loss"]
        assert ours["change"] == pytest.approx(theirs["change"])
    # Labels in another order, and as columns of zeros and ones.
    lines = (place / "table.csv").read_text().splitlines()[1:]
    columns = [
        ",".join([path, *(str(int(name in labels)) for name in ("red", "blue", "green"))])
        for path, labels in (line.split(",") for line in lines)
    ]
    (place / "columns.csv").write_text("\n".join(["path,red,blue,green", *columns]))
    other = run.evaluate(f"multilabel:{place / 'columns.csv'}")
    assert other["generations"][0]["mean_average_precision"] > 0.6
    with pytest.raises(
        InputError, match=r"has images for image classification, but .* for multi label"
    ):
        run.evaluate("digits")


def test_an_exported_model_takes_images_and_its_manifest_has_thresholds(run, place, tmp_path):
    output = tmp_path / "model.keras"
    arguments = ["--to=keras", "--preprocessing", f"--output={output}", "--model=ensemble"]
    assert verbs.main(["export", str(run.files.path), *arguments]) == 0
    manifest = json.loads((tmp_path / "model.keras.json").read_text())
    assert manifest["class_names"] == list(LABELS)
    thresholds = label_files.thresholds_of(run.files, "ensemble", 3)
    np.testing.assert_array_equal(manifest["thresholds"], thresholds)
    image = np.asarray(Image.open(place / "001.png"))[np.newaxis]
    served = keras.models.load_model(output)
    np.testing.assert_allclose(served(image), run.predict(image), atol=1e-5)


@pytest.mark.nightly
def test_a_run_that_was_interrupted_ends_bit_for_bit_alike(run, place, monkeypatch):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(
            MultiLabelImages,
            "callbacks",
            lambda self, number, rows: [Stop()] if number == 1 else [],
        )
        with pytest.raises(RuntimeError, match="interrupted"):
            runner.run(_options(place, "parts", checkpoint_steps=2))
    runner.run(_options(place, "parts", checkpoint_steps=2))
    assert_same_weights(run.files.path, place / "parts", range(3))
    assert (
        Run(place / "parts").summary["generations"][2]["by_label"]
        == (run.summary["generations"][2]["by_label"])
    )


def test_generation_0_is_what_plain_keras_trains(run, place):
    checked = _options(place, "other")
    task = MultiLabelImages(checked, Workers())
    task.load()
    data, steps = task.data, task.steps_per_epoch()
    with seeds.seeded(seeds.derive_seed(checked.seed, "weights", 0)):
        model = build(data.input_shape, 3)
    model.compile(
        lineage_options.make_optimizer(checked, checked.epochs, steps),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    images = (np.float32(data.train.images) / 255 - data.mean) / data.std
    seed = seeds.derive_seed(checked.seed, "data", 0)
    for epoch in range(checked.epochs):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(images)), seed=tf.constant([seed, epoch], tf.int64)
        ).numpy()[: steps * 16]
        model.fit(images[order], data.train.labels[order], 16, shuffle=False, verbose=0)
    for ours, plain in zip(weights(run.files.path, 0), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_the_ensemble_is_distilled_into_a_final_student(place):
    found = runner.run(_options(place, "final", epochs=1, final_student=True))
    row = found["final_student"]
    own = Run(place / "final" / row["directory"])
    thresholds = label_files.thresholds_of(own.files, "1", 3)
    predicted = expit(label_files.log_odds(own.files, "generation-1/predictions.npz")) >= thresholds
    true = content.read(place / "final").test.labels
    assert row["hamming_loss"] == pytest.approx(np.mean(predicted != true))
    teacher = label_files.log_odds(own.files, "generation-0/predictions.npz")
    run = Run(place / "final").files
    members = [label_files.log_odds(run, f"generation-{n}/predictions.npz") for n in (1, 2)]
    np.testing.assert_allclose(expit(teacher), expit(members).mean(axis=0), atol=1e-5)


@pytest.mark.nightly
def test_several_given_models_teach_generation_0_label_by_label(run, place):
    files = [run.files.path / f"generation-{number}/model.keras" for number in (1, 2)]
    given = {"teacher_from": ",".join(map(str, files)), "gens": 0, "teacher_signal": "online"}
    found = runner.run(_options(place, "given", objective="kd", epochs=8, **given))
    assert found["generations"][0]["mean_average_precision"] > 0.8
    history = Run(place / "given").history[0]
    assert history[-1]["teacher_loss"] < history[0]["teacher_loss"]


@pytest.mark.nightly
def test_recorded_teachers_teach_as_online_ones(run, place):
    runner.run(_options(place, "online", teacher_signal="online", gens=1))
    assert run.files.metadata["teacher_signal"]["recorded"]
    assert not Run(place / "online").files.metadata["teacher_signal"]["recorded"]
    assert_same_weights(run.files.path, place / "online", range(2), atol=5e-3)


@pytest.mark.nightly
def test_two_replicas_train_the_run_of_one_device(run, place):
    given = {"dataset": f"csv:{place / 'table.csv'}", **SMALL, "gens": 1}
    flags = [f"--{name}={value}" for name, value in given.items()]
    flags += [
        "--virtual_devices=2",
        "--sync_batch_norm",
        f"--workdir={place / 'replicas'}",
        "--teacher_signal=online",
    ]
    path = os.pathsep.join([str(_TESTS.parent), str(_TESTS)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = warm.run([sys.executable, "-m", "ban_tf.main", *flags], env=environment)
    assert done.returncode == 0, done.stderr
    assert "2 replica(s) of MirroredStrategy" in done.stdout
    assert_same_weights(run.files.path, place / "replicas", range(1), rtol=1e-3, atol=5e-3)
    rows = [Run(place / name).summary["generations"][1] for name in ("run", "replicas")]
    assert rows[0]["mean_average_precision"] == pytest.approx(
        rows[1]["mean_average_precision"], abs=0.05
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mixup": 0.2}, "--mixup=0.2 does nothing with .*: it is for images of one class each"),
        ({"class_weight": "balanced"}, "it is for images of one class each"),
        ({"monitor": "val_balanced_accuracy"}, "it is for images of one class each"),
    ],
)
def test_flags_for_one_class_are_refused(place, changes, complaint):
    with pytest.raises(options.OptionsError, match=complaint):
        _options(place, "refused", **changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"objective": "kd-standardized"}, "for categorical outputs, but the output .* is binary"),
        ({"arch": "tests.tasks.test_multi_label:softmax"}, "ends in a softmax, by which labels"),
    ],
)
def test_what_cannot_teach_labels_is_refused_before_training(place, changes, complaint):
    with pytest.raises(InputError, match=complaint):
        runner.run(_options(place, f"refused-{len(complaint)}", **changes))
    assert not list((place / f"refused-{len(complaint)}").glob("generation-*"))


@pytest.mark.nightly
@pytest.mark.parametrize("objective", ["importance", "dkd", "dist+labels"])
def test_other_objectives_teach_each_label(place, objective):
    name = re.sub(r"\W", "_", objective)
    found = runner.run(_options(place, name, objective=objective, gens=1, epochs=1))
    assert np.isfinite(found["generations"][1]["hamming_loss"])
