"""Teachers of their own size, pixels and precision, and those of other runtimes."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import ban_tf
from ban_tf.distillation import runtimes, teachers
from ban_tf.errors import InputError

IMAGES = np.random.default_rng(0).uniform(0, 255, (24, 8, 8, 1)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, 24)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _student():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    )


def _large(seed=1):
    keras.utils.set_random_seed(seed)
    blocks = [layers.Conv2D(4, 3, strides=2), layers.BatchNormalization(), layers.ReLU()]
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), *blocks, layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    moving = np.random.default_rng(seed).uniform(0.5, 1.5, (4, 4))
    model.layers[1].set_weights(list(moving))
    return model


def _softmax(logits):
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _as_the_teacher_sees():
    """Doubled in size, gray as three channels, normalized as ImageNet, in float64."""
    weights = np.zeros((16, 8))  # bilinear between the centers of pixels
    for row in range(16):
        center = np.clip((row + 0.5) / 2 - 0.5, 0, 7)
        low = int(np.floor(center))
        weights[row, low] += 1 - (center - low)
        weights[row, min(low + 1, 7)] += center - low
    images = np.float64(IMAGES[..., 0])
    doubled = np.einsum("rh,nhw,cw->nrc", weights, images, weights)
    return (np.repeat(doubled[..., np.newaxis], 3, axis=-1) / 255 - MEAN) / STD


def _loss(teacher, **options):
    model = ban_tf.BornAgainModel(_student(), teacher, "kd", **options)
    model.compile(keras.optimizers.SGD(0.0))
    return model.fit(IMAGES, LABELS, batch_size=24, verbose=0).history["teacher_loss"][0]


def _divergence(p):
    q = _softmax(_student().predict(IMAGES, verbose=0))
    return np.mean(np.sum(p * np.log(p / q), axis=-1))


def test_a_list_of_teachers_of_different_sizes_sees_the_students_images(tmp_path):
    large = _large()
    large.save(tmp_path / "large.keras")
    theirs = _softmax(large.predict(_as_the_teacher_sees(), verbose=0))
    own = _softmax(2 * IMAGES[:, 0, :3, 0] / 255 - 1)

    def channels_first(batch):
        assert batch.shape[1:] == (1, 8, 8)
        return batch[:, 0, 0, :3]

    given = [
        (ban_tf.adapt_teacher(tmp_path / "large.keras", (8, 8, 1), takes="imagenet"), 0.75),
        (
            ban_tf.adapt_teacher(
                channels_first,
                (8, 8, 1),
                takes="minus_one_to_one",
                channels_first=True,
                outputs="logits",
            ),
            0.25,
        ),
    ]
    assert _loss(given) == pytest.approx(_divergence(0.75 * theirs + 0.25 * own), rel=1e-4)
    # The student's pixels count, too: here it takes normalized ones.
    scaled = ban_tf.adapt_teacher(large, (8, 8, 1), takes="imagenet", given=([0.3], [0.2]))
    found = scaled.predict((IMAGES / 255 - 0.3) / 0.2, verbose=0)
    np.testing.assert_allclose(_softmax(found), theirs, atol=1e-5)


@pytest.mark.nightly
def test_each_has_its_own_precision():
    exact = _softmax(_large().predict(_as_the_teacher_sees(), verbose=0))
    half = ban_tf.adapt_teacher(_large(), (8, 8, 1), takes="imagenet", precision="mixed_bfloat16")
    found = _softmax(half.predict(IMAGES, verbose=0))
    np.testing.assert_allclose(found, exact, atol=2e-2)
    assert np.abs(found - exact).max() > 1e-6


def test_a_teacher_of_the_same_images_stays_as_it_is():
    model = _student()
    assert ban_tf.adapt_teacher(model, (8, 8, 1)) is model


def test_a_teacher_of_another_size_is_refused_as_it_is():
    sentence = r"give it as ban_tf\.adapt_teacher\(teacher, \(8, 8, 1\)\)"
    for given in (_large(), [(_large(), 1.0), (_student(), 1.0)]):
        with pytest.raises(InputError, match=sentence):
            ban_tf.BornAgainModel(_student(), given)


@pytest.mark.parametrize(
    ("teacher", "options", "sentence"),
    [
        (_student, {"input_shape": 8}, r"`input_shape` must be .* Received: 8"),
        (_student, {"input_shape": (8, 8.5, 1)}, "`input_shape` must be the height, width"),
        (lambda: len, {"size": (9, 9)}, r"`size` must be .* Received: \(9, 9\)"),
        (lambda: len, {"channels_first": "yes"}, "`channels_first` must be True or False"),
        (_large, {"takes": ([0.5], [0.0])}, "positive standard deviations"),
        (_student, {"input_shape": (8, 8, 3)}, "takes images of 1 channels, but they have 3"),
        (_large, {"takes": "normalized"}, "`takes` must be one of raw, zero_to_one"),
        (_large, {"takes": 3}, "`takes` must be the name of a form of pixels"),
        (_large, {"takes": ([0.1] * 2, [1.0] * 2)}, "have 2 channels, but its images have 3"),
        (_large, {"size": (9, 9, 3)}, "are for functions"),
        (lambda: len, {"precision": "float16"}, "`precision` is for Keras models"),
        (lambda: 5, {}, "`teacher` must be a Keras model, a path"),
        (lambda: "nowhere.onnx", {}, "names a file that does not exist: nowhere.onnx"),
        (lambda: keras.Sequential([keras.Input((5,)), layers.Dense(3)]), {}, "are no images"),
    ],
)
def test_what_cannot_be_adapted_is_refused(teacher, options, sentence):
    with pytest.raises(InputError, match=sentence):
        ban_tf.adapt_teacher(teacher(), **{"input_shape": (8, 8, 1), **options})


@pytest.mark.nightly
def test_a_saved_model_teaches(tmp_path):
    model = _student()
    model.layers[-1].set_weights([np.random.default_rng(3).normal(size=(64, 3)), np.zeros(3)])
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    theirs = _softmax(model.predict(IMAGES, verbose=0))
    assert _loss(str(tmp_path / "saved")) == pytest.approx(_divergence(theirs), rel=1e-4)
    ban_tf.record(runtimes.load(tmp_path / "saved"), IMAGES, tmp_path / "r", verbose=False)
    recorded = ban_tf.RecordedTeacher(tmp_path / "r")
    assert _loss(recorded) == pytest.approx(_divergence(theirs), rel=1e-2)


@pytest.mark.nightly
def test_an_onnx_file_teaches(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    kernel = np.random.default_rng(3).normal(size=(64, 3)).astype("float32") / 100
    helper, numbers = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", numbers.FLOAT, ["n", 8, 8, 1])],
        [helper.make_tensor_value_info("logits", numbers.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "linear.onnx")
    theirs = _softmax(IMAGES.reshape(24, -1) @ kernel)
    assert _loss(str(tmp_path / "linear.onnx")) == pytest.approx(_divergence(theirs), rel=1e-4)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"broken\.onnx could not be read"):
        teachers.as_teacher(tmp_path / "broken.onnx")


@pytest.mark.nightly
def test_a_torchscript_file_teaches(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(64, 3))
    torch.jit.script(network).save(str(tmp_path / "network.pt"))
    with torch.inference_mode():
        theirs = _softmax(network.eval()(torch.from_numpy(IMAGES)).numpy())
    assert _loss(str(tmp_path / "network.pt")) == pytest.approx(_divergence(theirs), rel=1e-4)
    ask = runtimes.load(tmp_path / "network.pt")
    np.testing.assert_allclose(_softmax(ask(IMAGES)), theirs, atol=1e-6)
    whole = IMAGES.astype("uint8")
    np.testing.assert_array_equal(ask(whole), ask(whole.astype("float64")))
    with pytest.raises(InputError, match=r"shape \(2, 4\) \(.*shapes cannot be multiplied"):
        ask(np.zeros((2, 4), "float32"))
    torch.save(network.state_dict(), tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt holds no TorchScript, as torch\.jit\.trace"):
        runtimes.load(tmp_path / "state.pt")


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no PyTorch")
def test_a_program_of_torch_export_teaches(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    script = """
import numpy as np
import torch

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
given = (torch.from_numpy(np.load("images.npy")),)
program = torch.export.export(network, given, dynamic_shapes=({0: torch.export.Dim("batch")},))
torch.export.save(program, "network.pt2")
np.save("outputs.npy", network(*given).detach().numpy())
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    theirs = _softmax(np.load(tmp_path / "outputs.npy"))
    assert runtimes.load(tmp_path / "network.pt2").input_shape == (8, 8, 1)
    assert _loss(str(tmp_path / "network.pt2")) == pytest.approx(_divergence(theirs), rel=1e-4)
    assert "triton" not in sys.modules  # which crashes beside TensorFlow


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="no timm")
def test_a_network_of_timm_teaches_online_and_from_a_recording(tmp_path):
    """The snippet of the documentation, but for the weights that it would download."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "how-to" / "teacher.md"
    (snippet,) = re.findall(r"``` { .python .timm }\n(.*?)```", page.read_text(), re.DOTALL)
    script = f"""
import numpy as np

import ban_tf

cifar_images = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3)).astype("uint8")


def cifar_network():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    flat = [layers.Rescaling(1 / 255), layers.AveragePooling2D(8), layers.Flatten()]
    return keras.Sequential([keras.Input((32, 32, 3)), *flat, layers.Dense(10)])


{snippet.replace("pretrained=True", "pretrained=False")}


def raw(batch):
    return network(torch.from_numpy(batch))


takes = settings["mean"], settings["std"]
adapted = ban_tf.adapt_teacher(
    torch.inference_mode()(raw), (32, 32, 3), size=(*size, 3), takes=takes, channels_first=True
)
losses = []
for teacher in (logits, adapted, "recording:recordings/timm"):
    model = ban_tf.BornAgainModel(cifar_network(), teacher, "kd")
    model.compile("sgd")
    history = model.fit(cifar_images, np.zeros(8), batch_size=8, verbose=0).history
    losses += history["teacher_loss"]
theirs, ours = logits(cifar_images).numpy(), cifar_network().predict(cifar_images, verbose=0)
np.savez("found.npz", theirs=theirs, ours=ours, losses=losses)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    p, q = _softmax(found["theirs"]), _softmax(found["ours"])
    np.testing.assert_allclose(found["losses"], np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-2)


@pytest.mark.parametrize(("file", "module"), [("a.onnx", "onnxruntime"), ("a.pt", "torch")])
def test_a_runtime_that_is_not_installed_is_named(file, module, tmp_path, monkeypatch):
    (tmp_path / file).write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"needs {module}, which is not installed: pip install"):
        ban_tf.BornAgainModel(_student(), str(tmp_path / file))


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("keras_hub") is None, reason="no KerasHub")
def test_a_task_of_keras_hub_is_a_model_like_any_other():
    import keras_hub

    keras.utils.set_random_seed(2)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    task = keras_hub.models.ResNetImageClassifier(backbone, num_classes=3)
    adapted = ban_tf.adapt_teacher(task, (8, 8, 1), takes="imagenet")
    theirs = _softmax(task(_as_the_teacher_sees().astype("float32")).numpy())
    assert _loss(adapted) == pytest.approx(_divergence(theirs), rel=1e-3)


@pytest.mark.nightly
def test_a_task_of_keras_hub_with_a_preprocessor_is_adapted_with_it():
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(2)
    backbone = hub.models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    convert = hub.layers.ViTImageConverter(
        image_size=(16, 16), scale=[0.01, 0.02, 0.03], offset=[-1.0, -2.0, -3.0]
    )
    task = hub.models.ViTImageClassifier(
        backbone, 3, hub.models.ViTImageClassifierPreprocessor(convert)
    )
    theirs = _softmax(task.predict(np.repeat(IMAGES, 3, axis=-1), verbose=0))
    adapted = ban_tf.adapt_teacher(task, (8, 8, 1))
    assert _loss(adapted) == pytest.approx(_divergence(theirs), rel=1e-3)
    mixed = [(adapted, 0.5), (lambda batch: adapted(batch).numpy(), 0.5)]
    assert _loss(mixed) == pytest.approx(_divergence(theirs), rel=1e-3)
    with pytest.raises(InputError, match="prepares raw images with its preprocessor; leave it out"):
        ban_tf.adapt_teacher(task, (8, 8, 1), takes="imagenet")
    with pytest.raises(InputError, match=r"is not for images of shape \(8, 8, 2\)"):
        ban_tf.adapt_teacher(task, (8, 8, 2))
    task.preprocess_samples = lambda x, y=None, sample_weight=None: x / 100
    with pytest.raises(InputError, match="otherwise than by resizing and rescaling"):
        ban_tf.adapt_teacher(task, (16, 16, 3))
