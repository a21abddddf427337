"""Segmentation from the command line's options to the report, prediction and export."""

import json
import re

import keras
import numpy as np
import pytest
from absl import flags
from PIL import Image
from sklearn import metrics as sklearn_metrics

import ban_tf
from ban_tf.cli import evaluate, export, predict, report
from ban_tf.config import options
from ban_tf.datasets import masks, pipeline, segmentation
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.distribution.workers import Workers
from ban_tf.errors import CorruptFileError, InputError, RunDirectoryError
from ban_tf.runs import reading, segments
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.system.signals import Interrupted
from ban_tf.tasks import lineage_options, runner
from ban_tf.tasks.segmentation import Segmentation
from tests import reports
from tests.runs import hostile
from tests.tasks import segmenters
from tests.tiny_lineage import Signal

SMALL = {
    "arch": "tests.tasks.segmenters:normalized",
    "epochs": 2,
    "gens": 2,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "resize": "stretch",
    "objective": "kd+labels",
    "progress": "none",
    "report": False,
}
CLASSES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("masks")
    segmenters.draw(path, {"train": 32, "val": 8, "test": 12})
    return path


def chosen(folder, directory, **changes):
    given = {"dataset": f"segmentation:{folder}", "workdir": str(directory), **SMALL, **changes}
    return options.check(options.Options(**given))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "run"
    runner.run(chosen(folder, directory))
    return ban_tf.Run(directory)


@pytest.fixture(scope="module")
def test_part(folder):
    return segmentation.load(f"segmentation:{folder}").test


def outputs_of(run, images):
    """Probabilities of the generations in float64, and of the ensemble."""
    facts = reading.read_data_facts(run.files)
    pixels = (images / 255.0 - np.array(facts.mean)) / np.array(facts.std)
    found = []
    for number in run.generations:
        logits = run.model(number).predict(pixels.astype("float32"), verbose=0).astype(np.float64)
        exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
        found.append(exponents / exponents.sum(axis=-1, keepdims=True))
    return [*found, np.mean(found[1:], axis=0)]


def test_the_summary_is_what_scikit_learn_measures(run, test_part):
    valid = test_part.labels != masks.VOID
    true = test_part.labels[valid]
    summary = run.summary
    assert summary["kind"] == "segmentation"
    rows = [*summary["generations"], summary["ensembles"][0]]
    for row, found in zip(rows, outputs_of(run, test_part.images), strict=True):
        predicted = found.argmax(axis=-1)[valid]
        jaccard = sklearn_metrics.jaccard_score(
            true, predicted, labels=np.union1d(true, predicted), average="macro"
        )
        assert row["examples"] == 12
        assert row["mean_iou"] == pytest.approx(jaccard, abs=2e-4)
        accuracy = sklearn_metrics.accuracy_score(true, predicted)
        assert row["pixel_accuracy"] == pytest.approx(accuracy, abs=5e-4)
        log_loss = sklearn_metrics.log_loss(true, found[valid], labels=range(CLASSES))
        assert row["negative_log_likelihood"] == pytest.approx(log_loss, abs=1e-4)
        low, high = row["interval"]
        assert low < row["mean_iou"] < high
    assert rows[0]["change"] is None
    kept = run.history
    for number in run.generations:
        validated = kept[number][-1]["val_mean_iou"]
        assert summary["validation"]["models"][str(number)] == pytest.approx(validated, abs=1e-5)
    assert all(row["change"]["p"] > 0 for row in rows[1:])


def test_what_is_kept_says_what_each_image_was_predicted_to_be(run, test_part):
    kept = segments.read(run.files, CLASSES)
    assert kept.models == ("generation 0", "generation 1", "generation 2", "ensemble 1-2")
    assert kept.files == tuple(f"test/images/{number}.png" for number in range(12))
    stored = np.load(run.files.path / "generation-2" / "masks.npz")["00000"]
    assert (stored == outputs_of(run, test_part.images)[2].argmax(axis=-1)).mean() > 0.999
    valid = test_part.labels != masks.VOID
    for label in range(CLASSES):
        both = (stored == label) & (test_part.labels == label)
        np.testing.assert_array_equal(kept.counts[2].right[:, label], both.sum(axis=(1, 2)))
        some = (stored == label) & valid
        np.testing.assert_array_equal(kept.counts[2].predicted[:, label], some.sum(axis=(1, 2)))


@pytest.mark.nightly
def test_the_report_shows_classes_and_overlays_and_is_written_again_alike(run):
    page = run.files.path / "report.html"
    text = reports.written(run.files.path)
    for heading in ("Mean IoU by generation", "Classes", "Confusion", "Test images"):
        assert f">{heading}</h2>" in text
    assert "permutation by image" in text
    assert "bootstrap over images" in text
    assert len(re.findall("Overlays of test/images/", text)) == 8
    table = (run.files.path / "predictions.csv").read_text()
    assert len(table.splitlines()) == 13
    assert table.startswith("file,generation 0: mean IoU,generation 0: pixel accuracy,")
    assert report.main([str(run.files.path)]) == 0
    assert page.read_text() == text


def test_generation_0_is_what_a_plain_keras_loop_trains(run, folder):
    settings = chosen(folder, "unused")
    task = Segmentation(settings, Workers())
    task.load()
    with seeds.seeded(seeds.derive_seed(0, "weights", 0)):
        model = task.build(SMALL["arch"])
    model.compile(
        lineage_options.make_optimizer(settings, 2, 4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
    )
    batches = pipeline.training_batches(
        task.data,
        batch_size=8,
        epochs=2,
        seed=seeds.derive_seed(0, "data", 0),
        view_seed=seeds.derive_seed(0, "views", 0),
        augment="crop",
    )
    model.fit(batches, epochs=2, steps_per_epoch=4, shuffle=False, verbose=0)
    for ours, plain in zip(run.model(0).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.nightly
def test_a_run_that_is_interrupted_within_an_epoch_resumes_bit_for_bit(
    run, folder, tmp_path, monkeypatch
):
    settings = chosen(folder, tmp_path / "run", checkpoint_steps=1, gens=1)
    with monkeypatch.context() as patch:
        stop = Signal("step", 15)  # in the second epoch of generation 1
        patch.setattr(Segmentation, "callbacks", lambda *arguments: [stop])
        with pytest.raises(Interrupted):
            runner.run(settings)
    runner.run(settings)
    again = ban_tf.Run(tmp_path / "run")
    for number in (0, 1):
        for ours, theirs in zip(
            again.model(number).get_weights(), run.model(number).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    ours, theirs = (found.summary["generations"][1]["mean_iou"] for found in (again, run))
    assert ours == theirs


def test_masks_that_have_changed_are_noticed(run, folder, tmp_path):
    segmenters.draw(tmp_path / "other", {"train": 32, "val": 8, "test": 12}, (16, 20))
    file = tmp_path / "other" / "train" / "masks" / "0.png"
    changed = np.array(masks.read(file))
    changed[0] = 1
    file.write_bytes(masks.to_png(changed, CLASSES))
    with pytest.raises(RunDirectoryError, match="content of hash"):
        runner.run(chosen(tmp_path / "other", run.files.path))


def test_images_are_predicted_at_their_size(run, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 50, 3), dtype=np.uint8)
    for name, image in zip(("a/one.png", "b/one.jpg"), images, strict=True):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(image).save(tmp_path / name)
    arguments = [str(run.files.path), str(tmp_path / "a"), str(tmp_path / "b")]
    folder, table = tmp_path / "predicted", tmp_path / "shares.csv"
    given = [f"--masks={folder}", f"--csv={table}", "--model=ensemble"]
    assert predict.main([*arguments, *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[0] == str(tmp_path / "a" / "one.png")
    assert len(lines[0].split("\t")) == 7
    assert sorted(file.name for file in folder.iterdir()) == ["one-2.png", "one.png"]
    headings, row, _ = (line.split(",") for line in table.read_text().splitlines())
    assert headings == ["image", "ground", "disk", "square", "triangle"]
    mask = np.array(masks.read(folder / "one.png"))
    assert mask.shape == (33, 50)
    shares = [np.mean(mask == label) for label in range(CLASSES)]
    np.testing.assert_allclose(np.array(row[1:], float), shares, atol=1e-6)
    found = run.predict([tmp_path / "a" / "one.png"])
    assert found.shape == (1, 16, 20, CLASSES)
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-6)
    small = masks.at_original_size(found[0].argmax(-1).astype(np.uint8), (33, 50), "stretch")
    np.testing.assert_array_equal(mask, small)


def test_masks_are_written_to_folders_beside_runs_alone(run, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    other = hostile.make(tmp_path / "other")
    for path, folder, message in (
        (other, tmp_path / "new", "is for runs on masks; leave it out"),
        (run.files.path, run.files.path, "cannot be written (it is a run)"),
        (run.files.path, tmp_path / "image.png", "cannot be written (it is a file)"),
        (run.files.path, run.files.path / "generation-0", "would overwrite generation-0/"),
        (run.files.path, tmp_path / "absent" / "new", "there is no folder"),
    ):
        assert predict.main([str(path), str(tmp_path / "image.png"), f"--masks={folder}"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    image = (tmp_path / "image.png").read_bytes()
    arguments = [str(tmp_path / "image.png"), f"--masks={tmp_path}"]
    assert predict.main([str(run.files.path), *arguments]) == 2
    assert "holds the images" in capsys.readouterr().err
    assert (tmp_path / "image.png").read_bytes() == image


@pytest.mark.nightly
def test_another_folder_is_evaluated_with_the_classes_of_the_run(run, folder, tmp_path, capsys):
    same = run.evaluate(f"segmentation:{folder}")
    for row, known in zip(same["generations"], run.summary["generations"], strict=True):
        assert row["mean_iou"] == pytest.approx(known["mean_iou"], abs=1e-4)
    alone = tmp_path / "alone"
    segmenters.draw(alone, {".": 5})
    (alone / "classes.txt").unlink()
    saved = tmp_path / "result.json"
    given = [str(run.files.path), f"--dataset=segmentation:{alone}", f"--json={saved}"]
    assert evaluate.main(given) == 0
    assert json.loads(saved.read_text())["generations"][0]["examples"] == 5
    assert "mean" in capsys.readouterr().out
    (alone / "classes.txt").write_text("ground\ndisk\ntriangle\nsquare\n")
    with pytest.raises(InputError, match="in this order; the run has ground, disk, square"):
        run.evaluate(f"segmentation:{alone}")
    with pytest.raises(InputError, match="has images, but"):
        run.evaluate("digits")


def test_an_exported_model_prepares_images_by_itself(run, tmp_path):
    path = tmp_path / "model.keras"
    export.export(run.files, "keras", output=path, preprocessing=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    model = keras.models.load_model(path)
    np.testing.assert_allclose(model.predict(images, verbose=0), run.predict(images), atol=1e-5)
    manifest = json.loads((tmp_path / "model.keras.json").read_text())
    assert manifest["class_names"] == ["ground", "disk", "square", "triangle"]
    assert model.predict(images[:, :10, :17], verbose=0).shape == (2, 16, 20, CLASSES)


@pytest.mark.nightly
def test_pixels_without_a_class_learn_from_the_teacher_by_default(folder):
    for distill_void in (True, False):
        settings = chosen(folder, "unused", objective="kd", skip_void=not distill_void)
        task = Segmentation(settings, Workers())
        task.load()
        student, teacher = task.build(SMALL["arch"]), task.build(SMALL["arch"])
        given = {"distill_void": task.lineage_arguments(None)["distill_void"]}
        model = ban_tf.BornAgainModel(student, teacher, "kd", **given)
        model.compile(**{**task.compile_arguments(), "optimizer": "sgd"})
        images, labels = next(iter(pipeline.evaluation_batches(task.data.validation, task.data, 8)))
        found = model.test_on_batch(images, labels, return_dict=True)["teacher_loss"]
        p, q = (
            keras.ops.log_softmax(np.float64(net(images, training=False)))
            for net in (teacher, student)
        )
        each = np.sum(np.exp(p) * (np.float64(p) - np.float64(q)), axis=-1)
        expected = each.mean() if distill_void else each[np.asarray(labels) >= 0].mean()
        assert found == pytest.approx(expected, rel=1e-4)
        assert (np.asarray(labels) < 0).any()


@pytest.mark.nightly
def test_auto_stops_where_the_mean_iou_no_longer_rises(folder, tmp_path, capsys):
    changes = {"gens": "auto", "learning_rate": 1e-9, "epochs": 1, "analyse": True}
    runner.run(chosen(folder, tmp_path / "run", **changes))
    assert "Generation 1 is not better than generation 0" in capsys.readouterr().out
    assert ban_tf.Run(tmp_path / "run").generations == [0, 1]
    assert (tmp_path / "run" / "analysis.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixup=0.2"], "--mixup=0.2 does nothing with"),
        (
            ["--arch=wrn-16-1"],
            "--arch=wrn-16-1 is for images, but --dataset=segmentation has masks",
        ),
        (["--void_label=0"], "--void_label=0 does nothing with --dataset=segmentation, as it is"),
        (
            ["--objective=cwtm", "--skip_void"],
            "--skip_void=true does nothing with --objective=cwtm",
        ),
        (["--image_size=4"], None),
    ],
)
def test_what_masks_have_no_use_for_is_refused(arguments, message, tmp_path):
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", "--dataset=segmentation", f"--workdir={tmp_path / 'run'}", *arguments])
    if message:
        with pytest.raises(options.OptionsError, match=re.escape(message)):
            options.from_flags(values)
    else:
        with pytest.raises(InputError, match="halves images 3 times, but they have 4x4 pixels"):
            runner.run(options.from_flags(values))
    other = flags.FlagValues()
    options.define_flags(other)
    other(["ban-tf", "--arch=unet", "--void_label=3"])
    with pytest.raises(options.OptionsError, match="--arch=unet-3-16 is for masks"):
        options.from_flags(other)


def test_a_network_that_classifies_images_is_refused(folder, tmp_path):
    settings = chosen(folder, tmp_path / "run", arch="tests.tasks.segmenters:classifier")
    with pytest.raises(InputError, match=r"must give one output \[batch, 16, 20, 4\]"):
        runner.run(settings)


DAMAGE = {
    "more is right than there is": lambda kept: kept._replace(
        counts=[kept.counts[0]._replace(right=kept.counts[0].right + 1), *kept.counts[1:]]
    ),
    "other classes": lambda kept: kept._replace(confusion=kept.confusion[:, :2, :2]),
    "names of other images": lambda kept: kept._replace(files=kept.files[:3]),
    "other models": lambda kept: kept._replace(models=("x", *kept.models[1:])),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_kept_numbers_that_do_not_fit_together_are_refused(run, damage, tmp_path):
    import shutil

    copy = shutil.copytree(run.files.path, tmp_path / "copy")
    kept = DAMAGE[damage](segments.read(run.files, CLASSES))
    with RunDirectory(copy) as directory:
        directory.commit(kept.to_files())
    from ban_tf.report import content

    with pytest.raises((CorruptFileError, RunDirectoryError), match=r"segments\.(npz|json)"):
        content.read(copy)


@pytest.mark.nightly
def test_two_machines_train_as_one_device(folder, tmp_path):
    """They share each batch; without batch normalization they train the same network."""
    from tests.distribution import processes

    given = [
        *("--arch=tests.tasks.segmenters:build", "--gens=1", "--epochs=1", "--batch_size=8"),
        *("--learning_rate=0.01", "--noreport"),
        *(f"--dataset=segmentation:{folder}", "--progress=none", "--objective=kd+labels"),
    ]
    two = processes.launch(*given, f"--workdir={tmp_path / 'two'}")
    changes = {"arch": "tests.tasks.segmenters:build", "gens": 1, "epochs": 1, "strategy": "one"}
    runner.run(chosen(folder, tmp_path / "one", **changes))
    assert "2 replicas on 2 workers of " in processes.finished(two)
    processes.assert_same_run(tmp_path / "one", tmp_path / "two", rtol=1e-3, atol=1e-4)


@pytest.mark.nightly
def test_classes_are_weighted_by_pixel_and_a_given_model_is_generation_0(run, folder, tmp_path):
    file = str(run.path / "generation-1/model.keras")
    given = {"teacher_from": file, "gens": 1, "epochs": 1}
    found = runner.run(chosen(folder, tmp_path / "run", **given, class_weight="balanced"))
    wanted = run.summary["generations"][1]["mean_iou"]
    assert found["generations"][0]["mean_iou"] == pytest.approx(wanted)
    image = [folder / "test/images/0.png"]
    made = ban_tf.Run(tmp_path / "run")
    np.testing.assert_allclose(made.predict(image, 0), run.predict(image, 1), atol=1e-6)
    task = Segmentation(chosen(folder, tmp_path / "run", class_weight="balanced"), Workers())
    task.load()
    batches = task._weighted(pipeline.evaluation_batches(task.data.train, task.data, 8))
    _, labels, weights = next(iter(batches))
    counts = np.bincount(task.data.train.labels[task.data.train.labels != masks.VOID].ravel())
    balanced = counts.sum() / (CLASSES * counts)
    labels = np.asarray(labels)
    expected = np.where(labels < 0, 1.0, balanced[np.maximum(labels, 0)])
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    other = tmp_path / "classifier.keras"
    segmenters.classifier((*segmenters.SIZE, 3), CLASSES).save(other)
    with pytest.raises(InputError, match=r"must return \(16, 20, 4\) for each image"):
        runner.run(chosen(folder, tmp_path / "refused", teacher_from=str(other)))
    with pytest.raises(InputError, match="neither recordings nor several models teach pixels"):
        runner.run(chosen(folder, tmp_path / "refused", teacher_from=f"{file},{file}"))


@pytest.mark.nightly
def test_the_ensemble_is_distilled_into_a_final_student(folder, tmp_path):
    changes = {"epochs": 1, "final_student": True, "teacher_signal": "recorded"}
    found = runner.run(chosen(folder, tmp_path / "run", **changes))
    row, made = found["final_student"], ban_tf.Run(tmp_path / "run")
    own = ban_tf.Run(made.path / row["directory"])
    student = own.summary["generations"][1]
    assert row["mean_iou"] == student["mean_iou"]
    difference = row["mean_iou"] - found["generations"][0]["mean_iou"]
    assert row["change"]["difference"] == pytest.approx(difference)
    image = [folder / "test/images/0.png"]
    np.testing.assert_allclose(own.predict(image, 0), made.predict(image), atol=1e-5)
    assert "| final |" in (made.path / "summary.md").read_text()
    for one in (made, own):
        assert one.files.metadata["teacher_signal"]["recorded"]
        assert list(one.path.glob("recordings/*/view-00000.npy"))


def test_what_is_recorded_is_what_the_teacher_returns_for_each_augmented_image(folder, tmp_path):
    given = {"teacher_signal": "recorded", "teacher_views": 1, "augment": "standard"}
    task = Segmentation(chosen(folder, tmp_path / "run", **given), Workers())
    task.load()
    with RunDirectory(tmp_path / "run") as directory:
        task.open(directory)
        teacher = OnlineTeacher([task.build(SMALL["arch"])])
        assert "Recorded teachers take 205 kB in" in task.remarks()[-1]
        for batches in (
            task.signal.training_batches(1, 1, 2, teacher).take(3),
            task.validation_batches()(1, teacher),
        ):
            for images, labels in batches:
                expected = np.asarray(teacher.models[0](images))
                found = labels["teacher_logits"]
                assert found.shape == (8, 16, 20, CLASSES)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="--teacher_top must be between 1 and 3"):
        runner.run(chosen(folder, tmp_path / "other", teacher_signal="recorded", teacher_top=4))
