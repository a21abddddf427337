"""What pixels a network takes: found out, given, and changed from one form to another."""

import keras
import numpy as np
import pytest
from keras import layers

from ban_tf import architectures
from ban_tf.architectures import pixels
from ban_tf.errors import InputError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _images():
    return np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("float32")


def _in_form(images, form):
    wanted = pixels.described(form, MEAN, STD)
    images = images[..., ::-1] if wanted.blue_first else images
    return (images / 255.0 - wanted.mean) / wanted.std


def _network(*first):
    return keras.Sequential(
        [keras.Input((8, 8, 3)), *first, layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
    )


@pytest.mark.parametrize("given", pixels.FORMS)
@pytest.mark.parametrize("own", pixels.TEACHER_FORMS)
def test_a_model_takes_other_pixels_and_computes_the_same(own, given, tmp_path):
    model, images = _network(), _images()
    own_numbers, numbers = (pixels.described(form, MEAN, STD) for form in (own, given))
    other = pixels.taking(model, own_numbers, numbers)
    assert (other is model) == (own == given)
    wanted = np.asarray(model(_in_form(images, own)))
    other.save(tmp_path / "other.keras")
    other = keras.models.load_model(tmp_path / "other.keras")
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(other(_in_form(images, given)), wanted, atol=2e-5 * scale)


def test_the_numbers_of_a_form_have_its_name():
    for form in pixels.FORMS:
        assert pixels.name_of(*pixels.described(form, MEAN, STD)[:2]) == form
    assert pixels.name_of([0.0], np.float32([1 / 255])) == "raw"
    with pytest.raises(InputError, match="have three channels, but the images have 1"):
        pixels.described("imagenet", [0.5], [0.25])


def _functional(prepare):
    images = keras.Input((32, 32, 3))
    return keras.Model(images, layers.Conv2D(2, 3)(prepare(images)))


def test_a_model_that_prepares_images_takes_raw_ones():
    preprocess = keras.applications.mobilenet_v2.preprocess_input
    raw = [
        _network(layers.Rescaling(1 / 255)),
        _network(layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1)),
        _network(layers.Normalization(mean=[1.0] * 3, variance=[4.0] * 3)),
        keras.Sequential([keras.Input((8, 8, 3)), _network(layers.Rescaling(1 / 255))]),
        _functional(lambda images: images / 255.0),
        _functional(preprocess),
    ]
    assert [pixels.of_model(model) for model in raw] == ["raw"] * len(raw)
    for model in (_network(), _network(layers.BatchNormalization()), _functional(lambda x: x)):
        assert pixels.of_model(model) == "normalized"
    assert pixels.of_model(architectures.build("wrn-10-1", (8, 8, 3), 3)) == "normalized"


@pytest.mark.nightly
def test_a_model_of_keras_that_prepares_images_takes_raw_ones():
    model = keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=3)
    assert pixels.of_model(model) == "raw"


@pytest.mark.nightly
def test_a_model_of_keras_takes_what_its_preprocess_input_returns():
    options = {"weights": None, "include_top": False, "input_shape": (32, 32, 3)}
    mobile = keras.applications.MobileNetV2(alpha=0.35, **options)
    assert pixels.of_model(mobile) == "minus_one_to_one"
    nested = keras.Sequential([keras.Input((32, 32, 3)), mobile, layers.Flatten()])
    assert pixels.of_model(nested) == "minus_one_to_one"
    prepared = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), mobile])
    assert pixels.of_model(prepared) == "raw"


def test_a_model_with_the_name_of_one_of_keras_takes_the_same_pixels():
    for name, form in {
        "resnet50": "caffe",
        "resnet50v2": "minus_one_to_one",
        "vgg16": "caffe",
        "densenet121": "imagenet",
        "xception": "minus_one_to_one",
        "inception_v3": "minus_one_to_one",
        "resnet": "normalized",
    }.items():
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)], name=name)
        assert pixels.of_model(model) == form


@pytest.mark.parametrize(
    ("form", "module"),
    [
        ("minus_one_to_one", keras.applications.mobilenet_v2),
        ("imagenet", keras.applications.densenet),
        ("caffe", keras.applications.resnet),
        ("raw", keras.applications.efficientnet_v2),
    ],
)
def test_forms_are_what_keras_computes(form, module):
    images = _images()
    wanted = module.preprocess_input(images.copy())
    np.testing.assert_allclose(_in_form(images, form), wanted, atol=2e-4)
