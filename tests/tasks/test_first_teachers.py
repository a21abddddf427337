"""`--teacher_from` where it teaches generation 0: recordings, several files, other classes."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import layers

import ban_tf
from ban_tf import datasets
from ban_tf.config import options
from ban_tf.datasets import digits, pipeline
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import other_runtimes, runner
from ban_tf.tasks.run import Run

ROWS = 300


def build(input_shape, num_classes):
    """A network that is trained in a second."""
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])


def _options(directory, **given):
    defaults = {"arch": "tests.tasks.test_first_teachers:build", "gens": 0, "epochs": 2}
    defaults |= {"train_examples": ROWS, "batch_size": 50, "progress": "none", "objective": "kd"}
    defaults |= {"report": False}
    return options.check(options.Options(**{**defaults, "workdir": str(directory), **given}))


@pytest.fixture(scope="module")
def images():
    return digits.load()


@pytest.fixture(scope="module")
def kernel(images):
    """A linear teacher on raw pixels, which is right most of the time."""
    flat = images.train.images.reshape(len(images.train.images), -1) / 255
    targets = np.eye(10)[images.train.labels] - 0.1
    return np.linalg.lstsq(flat, targets, rcond=None)[0] * 6 / 255


@pytest.fixture(scope="module")
def recordings(images, kernel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    every = np.concatenate([images.test.images, images.train.images])[..., 0]

    def teacher(batch):
        return batch.reshape(len(batch), -1) @ kernel

    names = [str(digit) for digit in range(10)]
    options = {"dtype": "float32", "verbose": False}
    ban_tf.record(teacher, every, folder / "all", class_names=names, **options)
    turned = [*names[5:], *names[:5]]
    ban_tf.record(
        lambda batch: np.roll(teacher(batch), -5, axis=-1),
        every,
        folder / "turned",
        class_names=turned,
        **options,
    )
    ban_tf.record(teacher, every[:450], folder / "part", **options)
    data = datasets.load("digits", train_examples=ROWS)
    views = datasets.views(data, "crop", seed=0, count=2)
    ban_tf.record(teacher, path=folder / "views", **views, **options)
    return folder


def _weights(directory, number=0):
    return Run(directory).model(number).get_weights()


def _batches(directory, kernel, **given):
    """What generation 0 sees, and what the teacher says to the very same images."""
    task = runner.prepare(_options(directory, **given)).task
    with RunDirectory(directory) as run:
        task.open(run)
        # Epochs 0, 1 and 2 of five batches each.
        for x, y in itertools.islice(task.signal.training_batches(0, 0, 0), 15):
            raw = (x * task.data.std + task.data.mean) * 255
            yield y["teacher_logits"].numpy(), raw.numpy().reshape(len(raw), -1) @ kernel


@pytest.mark.parametrize(
    "given",
    [
        {"teacher_from": "all", "augment": "none"},
        {"teacher_from": "all", "augment": "none", "validation_fraction": 0.3, "seed": 5},
        {"teacher_from": "views", "augment": "crop"},
        {"teacher_from": "views", "augment": "crop", "augmentation_seed": 0, "epochs": 4},
    ],
)
def test_the_rows_of_a_recording_belong_to_the_images_of_each_batch(
    given, recordings, kernel, tmp_path
):
    given = {**given, "teacher_from": f"recording:{recordings / given['teacher_from']}"}
    seen = list(_batches(tmp_path, kernel, **given))
    assert len(seen) == 15
    for theirs, expected in seen:
        np.testing.assert_allclose(theirs, expected, atol=2e-3)


def test_generation_0_learns_from_a_recording_and_teaches_the_next(recordings, tmp_path):
    given = {"teacher_from": f"recording:{recordings / 'all'}", "augment": "none", "epochs": 4}
    given |= {"optimizer": "adam", "learning_rate": 0.02}
    runner.run(_options(tmp_path / "run", **given))
    summary = runner.run(_options(tmp_path / "run", **given, gens=1))
    errors = [row["error"] for row in summary["generations"]]
    assert max(errors) < 0.3
    run = Run(tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    taught = manifest["facts"]["generations"]
    assert taught["0"]["taught_by"] == "a given teacher"
    assert taught["1"]["taught_by"] == "generation 0"
    assert run.model(0).output_shape == (None, 10)
    with pytest.raises(RunDirectoryError, match="teacher_from was 'a recording of hash"):
        other = {**given, "teacher_from": f"recording:{recordings / 'turned'}"}
        runner.run(_options(tmp_path / "run", **other))


@pytest.mark.nightly
def test_classes_in_another_order_are_matched_by_their_names(recordings, tmp_path):
    given = {"augment": "none", "epochs": 1}
    for name in ("all", "turned"):
        settings = {**given, "teacher_from": f"recording:{recordings / name}"}
        runner.run(_options(tmp_path / name, **settings))
    for ours, theirs in zip(_weights(tmp_path / "all"), _weights(tmp_path / "turned"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("all", {"augment": "crop"}, r"would be augmented \(crop\); give --augment=none"),
        ("views", {"augment": "none"}, "give --augment=crop --augmentation_seed=0"),
        ("views", {"augment": "crop", "augmentation_seed": 3}, "give .* --augmentation_seed=0"),
        ("views", {"augment": "crop", "train_examples": 200}, "views of other training images"),
        ("part", {}, r"lacks \d+ of the \d+ training images"),
        ("all", {"mixup": 0.2}, "--mixup shows images that are not recorded"),
        ("all", {"objective": "labels"}, "which --objective=labels does not"),
        ("all", {"teacher_input": "raw"}, "--teacher_input=raw does nothing with"),
        ("none", {}, "names a folder without manifest.json"),
    ],
)
def test_what_does_not_fit_a_recording_is_refused(name, given, sentence, recordings, tmp_path):
    given = {"teacher_from": f"recording:{recordings / name}", **given}
    with pytest.raises(InputError, match=sentence):
        runner.prepare(_options(tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def files(kernel, tmp_path_factory):
    """Linear teachers on raw pixels: of 8x8, of 16x16 in three channels, of twelve classes."""
    folder = tmp_path_factory.mktemp("files")

    def save(name, shape, weights):
        network = [keras.Input(shape), layers.Rescaling(1.0)]
        if shape != (8, 8, 1):
            network += [layers.AveragePooling2D(2), layers.Conv2D(1, 1, use_bias=False)]
        dense = layers.Dense(weights.shape[-1], use_bias=False)
        model = keras.Sequential([*network, layers.Flatten(), dense])
        dense.set_weights([weights])
        if shape != (8, 8, 1):
            model.layers[-3].set_weights([np.full((1, 1, 3, 1), 1 / 3)])
        model.save(folder / f"{name}.keras")

    save("small", (8, 8, 1), kernel)
    save("large", (16, 16, 3), kernel)
    halves = np.repeat(kernel, 2, axis=-1)[:, 8:]  # two classes each of 4, ..., 9
    save("other", (8, 8, 1), halves)
    return folder


def test_several_files_of_different_sizes_teach_with_weights(files, tmp_path):
    both = f"{files / 'small.keras'}:0.75,{files / 'large.keras'}:0.25"
    prepared = runner.prepare(_options(tmp_path / "run", teacher_from=both))
    teacher, data = prepared.first_teacher[0], prepared.task.data
    assert teacher.weights == [0.75, 0.25]
    batch = next(iter(pipeline.evaluation_batches(data.validation, data, 20)))[0]
    small, large = (model(batch).numpy() for model in teacher.models)
    raw = np.float64(data.validation.images[:20, ..., 0])
    kernel = keras.models.load_model(files / "small.keras").get_weights()[-1]
    np.testing.assert_allclose(small, raw.reshape(20, -1) @ kernel, atol=1e-3)
    # Bilinear resizing to twice the size, whose pairs of pixels are averaged again.
    doubled = keras.ops.image.resize(raw[..., np.newaxis], (16, 16), antialias=True)
    halved = np.asarray(doubled).reshape(20, 8, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(large, halved.reshape(20, -1) @ kernel, atol=2e-3)
    runner.run(_options(tmp_path / "run", teacher_from=both))
    again = _options(tmp_path / "run", teacher_from=both.replace("0.75", "0.5"), gens=1)
    with pytest.raises(RunDirectoryError, match="teacher_from was 'teachers of hash"):
        runner.run(again)


@pytest.mark.nightly
def test_a_file_of_another_size_is_generation_0(files, images, tmp_path):
    result = runner.run(_options(tmp_path, teacher_from=str(files / "large.keras"), gens=1))
    error = result["generations"][0]["error"]
    assert error < 0.5
    predicted = Run(tmp_path).predict(images.test.images, 0).argmax(axis=-1)
    assert np.mean(predicted != images.test.labels) == pytest.approx(error)


def test_a_teacher_of_other_classes_is_mapped_by_a_file(files, tmp_path):
    path = str(files / "other.keras")
    with pytest.raises(InputError, match="map them with --teacher_classes=FILE"):
        runner.prepare(_options(tmp_path / "run", teacher_from=path))
    names = [f"{digit}{half},{digit}" for digit in range(4, 10) for half in "ab"]
    table = tmp_path / "classes.csv"
    table.write_text("\n".join(["teacher,student", *names]))
    given = {"teacher_from": path, "teacher_classes": str(table), "objective": "kd+labels"}
    prepared = runner.prepare(_options(tmp_path / "run", **given))
    assert prepared.first_model is None
    assert prepared.first_teacher[0].classes == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    runner.run(_options(tmp_path / "run", **given))
    table.write_text("\n".join(["teacher,student", *names[:-1]]))
    with pytest.raises(InputError, match="lists 11 classes, which are not the 12"):
        runner.prepare(_options(tmp_path / "run", **given))
    with pytest.raises(InputError, match="--teacher_classes names a file that does not exist"):
        _options(tmp_path / "run", **{**given, "teacher_classes": "none.csv"})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a.keras:0.5,b.keras", "gives weights to some files and none to others"),
        ("a.keras:0,b.keras:1", "must give positive, finite weights"),
        ("recording:a,b.keras", "mixes a recording with others"),
        ("a.keras,b.keras", "names a file that does not exist: a.keras"),
        ("a.onnx,b.keras", "If it lists several, all must be .keras files"),
        ("a.keras:0.7", "weights are numbers, of two files at least"),
        ("a.keras:0.7,b.keras:half", "weights are numbers, of two files at least"),
        (".", "is a folder that holds no SavedModel"),
        ("a.onnx", "names a file that does not exist: a.onnx"),
    ],
)
def test_names_that_are_no_teachers(value, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        _options(tmp_path, teacher_from=value)


@pytest.fixture(scope="module")
def saved(kernel, tmp_path_factory):
    """The linear teacher as a SavedModel that takes pixels of -1..1."""
    folder = tmp_path_factory.mktemp("other") / "model.v1"
    dense = layers.Dense(10)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), dense])
    dense.set_weights([kernel * 127.5, kernel.sum(axis=0) * 127.5])
    model.export(folder, format="tf_saved_model", verbose=False)
    return str(folder)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("given", [{"augment": "none"}, {"augment": "crop", "teacher_views": 2}])
def test_a_saved_model_is_recorded_for_the_views_of_a_run(given, saved, kernel, tmp_path):
    given = {**given, "teacher_from": saved, "teacher_input": "minus_one_to_one"}
    seen = list(_batches(tmp_path / "run", kernel, **given))
    for theirs, expected in seen:
        np.testing.assert_allclose(theirs, expected, rtol=1e-3, atol=5e-3)
    (recording,) = (tmp_path / "run" / "recordings").iterdir()
    before = (recording / "view-00000.npy").stat().st_mtime_ns
    again = list(_batches(tmp_path / "run", kernel, **given))
    np.testing.assert_array_equal(again[3][0], seen[3][0])
    assert (recording / "view-00000.npy").stat().st_mtime_ns == before


@pytest.mark.nightly
def test_a_run_with_a_saved_model_is_resumed(saved, tmp_path):
    given = {"teacher_from": saved, "teacher_input": "minus_one_to_one", "augment": "none"}
    given |= {"optimizer": "adam", "learning_rate": 0.02, "epochs": 4}
    runner.run(_options(tmp_path / "run", **given))
    rows = runner.run(_options(tmp_path / "run", **given, gens=1))["generations"]
    assert max(row["error"] for row in rows) < 0.3


def test_a_teacher_of_another_runtime_that_does_not_fit_is_refused(saved, tmp_path):
    turned = [f"{digit},{(digit + 5) % 10}" for digit in range(10)]
    (tmp_path / "classes.csv").write_text("\n".join(["teacher,student", *turned]))
    given = {"teacher_from": saved, "teacher_classes": str(tmp_path / "classes.csv")}
    with pytest.raises(InputError, match=r"no better than chance .*--teacher_input names them"):
        runner.prepare(_options(tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()
    table = _options(
        tmp_path / "table",
        dataset="table:wine",
        arch="mlp",
        train_examples=None,
        teacher_from=saved,
    )
    with pytest.raises(InputError, match="others teach on images alone; record its outputs"):
        runner.prepare(table)
    labels = _options(tmp_path / "labels", dataset="multilabel:digits", teacher_from=saved)
    with pytest.raises(InputError, match=r"must be a \.keras file, or several, for images"):
        runner.prepare(labels)


def test_a_file_of_onnx_gets_the_size_and_order_of_axes_that_it_declares(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto
    node = helper.make_node("ReduceMean", ["images"], ["logits"], axes=[2], keepdims=0)
    nodes = [node, helper.make_node("ReduceMax", ["logits"], ["top"], axes=[1], keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "columns",
        [helper.make_tensor_value_info("images", numbers.FLOAT, ["n", 3, 16, 10])],
        [helper.make_tensor_value_info("top", numbers.FLOAT, ["n", 10])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "columns.onnx")
    data = datasets.load("digits", train_examples=ROWS)
    teacher = other_runtimes.of_raw_images(str(tmp_path / "columns.onnx"), data, "imagenet")
    found = teacher(data.train.images[:4].astype("float32"))
    resized = keras.ops.image.resize(
        data.train.images[:4].astype("float32"), (16, 10), antialias=True
    )
    columns = (np.asarray(resized).mean(axis=1) / 255 - [0.485, 0.456, 0.406]) / [
        *(0.229, 0.224, 0.225)
    ]
    np.testing.assert_allclose(found, columns.max(axis=-1), atol=1e-4)


def test_a_recording_at_chance_is_refused(images, tmp_path):
    def wrong(batch):
        return np.tile(np.eye(10)[3] * 9.0, (len(batch), 1))

    ban_tf.record(wrong, images.train.images, tmp_path / "r", verbose=False)
    given = _options(tmp_path / "run", teacher_from=f"recording:{tmp_path / 'r'}", augment="none")
    with pytest.raises(InputError, match=r"right about .* of the training images, .* chance"):
        runner.prepare(given)


@pytest.mark.nightly
def test_a_task_of_keras_hub_is_generation_0_with_its_preprocessor(images, tmp_path):
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    backbone = hub.models.ResNetBackbone(
        image_shape=(16, 16, 3),
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )
    converter = hub.layers.ResNetImageConverter(image_size=(16, 16), scale=1 / 60, offset=-2.0)
    task = hub.models.ResNetImageClassifier(
        backbone, 10, hub.models.ResNetImageClassifierPreprocessor(converter)
    )
    raw = np.repeat(images.train.images, 3, axis=-1).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    task.compile(keras.optimizers.Adam(0.01), loss)
    task.fit(raw[:600], images.train.labels[:600], epochs=2, verbose=0)
    task.save(tmp_path / "task.keras")
    given = {"teacher_from": str(tmp_path / "task.keras"), "gens": 1}
    error = runner.run(_options(tmp_path / "run", **given))["generations"][0]["error"]
    raw = np.repeat(images.test.images, 3, axis=-1).astype("float32")
    wanted = task.predict(raw, verbose=0).argmax(axis=-1)
    assert error == pytest.approx(np.mean(wanted != images.test.labels), abs=0.01) and error < 0.5
    found = Run(tmp_path / "run").predict(images.test.images, 0).argmax(axis=-1)
    assert np.mean(found == wanted) > 0.99
