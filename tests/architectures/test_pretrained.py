"""Pretrained backbones by name, with the pixels and the weights that belong to them."""

import inspect
import sys
import time

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.architectures import applications, backbones, pixels
from ban_tf.errors import InputError

SHAPE = (32, 32, 3)


def _images(shape=SHAPE):
    return np.random.default_rng(0).integers(0, 256, (2, *shape)).astype("float32")


def _mobile(**options):
    return architectures.pretrained("MobileNetV2", SHAPE, 3, **{"weights": "none", **options})


@pytest.fixture(scope="module")
def mobile():
    return _mobile()


def test_the_table_has_the_constructors_of_keras_with_their_pixels():
    listed = {
        name: function
        for name, function in vars(keras.applications).items()
        if inspect.isfunction(function)
    }
    assert set(listed) <= set(applications.APPLICATIONS)
    images = _images()
    for name, function in listed.items():
        wanted = sys.modules[function.__module__].preprocess_input(images.copy())
        form = pixels.described(applications.APPLICATIONS[name], np.zeros(3), np.ones(3))
        given = images[..., ::-1] if form.blue_first else images
        np.testing.assert_allclose(
            (given / 255 - form.mean) / form.std, wanted, atol=2e-4, err_msg=name
        )


def test_moving_means_follow_within_a_short_training(mobile):
    """Keras gives MobileNetV2 0.999, of which 90 % are initial values after 100 steps."""
    layers = mobile.get_layer(mobile.name).layers
    found = {getattr(layer, "momentum", 0.0) for layer in layers}
    assert found == {0.0, applications.MOMENTUM}


@pytest.mark.parametrize("name", ["keras:efficientnetv2b0", "EfficientNetV2B0"])
def test_names_are_completed(name):
    assert architectures.resolve(name) == "keras:EfficientNetV2B0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("keras:EficientNetV2B0", "did you mean EfficientNetV2B0"),
        ("EficientNetV2B0", "did you mean keras:EfficientNetV2B0"),
        ("keras:", "no model without a name"),
        ("kerashub:", "name a preset"),
        ("kerashub:resnet_18_imagnet", "did you mean resnet_18_imagenet"),
    ],
)
def test_misspelled_names_are_answered_without_building(name, message):
    if name.startswith("kerashub:r"):
        pytest.importorskip("keras_hub")
    start = time.monotonic()
    with pytest.raises(InputError, match=message):
        architectures.build(name, SHAPE, 3, weights="none")
    assert time.monotonic() - start < 10


def test_a_network_prepares_raw_images_and_ends_in_a_fresh_head(mobile):
    other = _mobile(freeze="backbone")
    backbone = mobile.get_layer(mobile.name)
    prepared = keras.applications.mobilenet_v2.preprocess_input(_images())
    features = np.asarray(backbone(prepared)).mean((1, 2))
    head = mobile.get_layer("head")
    wanted = features @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(mobile.predict(_images(), verbose=0), wanted, atol=1e-5)
    assert mobile.output_shape == (None, 3)
    assert not np.array_equal(head.kernel, other.get_layer("head").kernel)
    assert len(other.trainable_weights) == 2 and len(mobile.trainable_weights) > 100
    # In inference mode, batch normalization of the frozen backbone does not depend on the batch.
    alone = other(_images()[:1], training=True)
    np.testing.assert_allclose(other(_images(), training=True)[:1], alone, atol=1e-5)


@pytest.mark.nightly
def test_caffes_pixels_and_gray_images_are_prepared_too(tmp_path):
    network = architectures.pretrained("VGG16", (32, 32, 1), 2, weights="none")
    images = _images((32, 32, 1))
    prepared = keras.applications.vgg16.preprocess_input(np.repeat(images, 3, axis=-1))
    features = np.asarray(network.get_layer("vgg16")(prepared)).mean((1, 2))
    head = network.get_layer("head")
    wanted = features @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(network.predict(images, verbose=0), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["model.keras", "flat.keras", "backbone.keras", "m.weights.h5"])
def test_a_file_of_the_same_backbone_is_read_whatever_its_head(kind, mobile, tmp_path):
    path = tmp_path / kind
    source = mobile
    if kind.startswith("flat"):
        source = keras.applications.MobileNetV2(weights=None, input_shape=SHAPE, classes=7)
    elif kind.startswith("backbone"):
        source = mobile.get_layer(mobile.name)
    (source.save_weights if kind.endswith(".h5") else source.save)(path)
    network = _mobile(weights=str(path))
    count = len(network.weights) - 2
    assert backbones.body_weights(network) == network.weights[:-2]
    for ours, theirs in zip(network.weights[:count], source.weights[:count], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(network.get_layer("head").kernel, mobile.get_layer("head").kernel)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other.keras", "no part with the 260 weights of the backbone of name=keras:MobileNetV2"),
        ("other.weights.h5", "does not hold the weights of the backbone"),
        ("bad.keras", "could not be read"),
        ("missing.keras", "cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(name, message, tmp_path):
    other = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    other.save(tmp_path / "other.keras")
    other.save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "bad.keras").write_bytes(b"nothing")
    with pytest.raises(InputError, match=message):
        _mobile(weights=str(tmp_path / name))


@pytest.mark.nightly
def test_weights_that_are_not_finite_are_refused(mobile, tmp_path):
    weights = mobile.get_weights()
    try:
        mobile.set_weights([np.full_like(weight, np.nan) for weight in weights])
        mobile.save(tmp_path / "nan.keras")
    finally:
        mobile.set_weights(weights)
    with pytest.raises(InputError, match="NaN or infinite"):
        _mobile(weights=str(tmp_path / "nan.keras"))


def test_weights_that_cannot_be_downloaded_are_one_sentence(monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(
        InputError, match=r"the file mobilenet_1_0_224_tf_no_top\.h5 \(in "
    ) as error:
        architectures.pretrained("MobileNet", (224, 224, 3), 2)
    assert "\n" not in str(error.value)


def test_arguments_that_do_not_fit_are_refused():
    for options, message in (
        ({"freeze": "until:2"}, "`freeze` must be"),
        ({"freeze": "half"}, "freeze=half must be"),
    ):
        with pytest.raises(InputError, match=message):
            _mobile(**options)
    with pytest.raises(InputError, match="`name` must be"):
        architectures.pretrained("wrn", SHAPE, 3)
    with pytest.raises(InputError, match="cannot be built"):
        architectures.pretrained("InceptionV3", SHAPE, 3, weights="none")
    with pytest.raises(InputError, match="images of 3 channels, or of 1; these have 2"):
        architectures.pretrained("MobileNetV2", (32, 32, 2), 3, weights="none")


@pytest.mark.nightly
def test_a_preset_of_keras_hub(tmp_path):
    hub = pytest.importorskip("keras_hub")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
    folder = tmp_path / "preset"
    backbone.save_to_preset(str(folder))
    name = f"kerashub:{folder}"
    network = architectures.pretrained(name, SHAPE, 3)
    for ours, theirs in zip(network.weights[:-2], backbone.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    random = architectures.pretrained(name, SHAPE, 3, weights="none")
    assert not np.array_equal(random.weights[0], backbone.weights[0])
    features = np.asarray(backbone(_images() / 255)).mean((1, 2))
    head = network.get_layer("head")
    wanted = features @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(network.predict(_images(), verbose=0), wanted, atol=1e-4)
    converter = hub.layers.ResNetImageConverter(scale=1 / 127.5, offset=-1.0)
    converter.save_to_preset(str(folder))
    features = np.asarray(backbone(_images() / 127.5 - 1)).mean((1, 2))
    network = architectures.pretrained(name, SHAPE, 3)
    head = network.get_layer("head")
    wanted = features @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(network.predict(_images(), verbose=0), wanted, atol=1e-4)
