"""Augmentations by integers against references in float64, SciPy and Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import ndimage

from ban_tf.datasets import fixed_point, numpy_policies, numpy_trivial, trivial_augment
from ban_tf.errors import InputError

SIZES = [(20, 17, 3), (9, 12, 1), (16, 16, 4), (2, 1, 3)]
STEPS = numpy_policies.STEPS
LUMA = np.array([0.299, 0.587, 0.114])
ROUNDING = 0.505  # of a gray level: half of one, and what the fixed point adds


def _images(size, count=40):
    return np.random.default_rng(0).integers(0, 256, (count, *size), dtype=np.uint8)


def _gray(values):
    return (values @ LUMA if values.shape[-1] == 3 else values.mean(-1))[..., None]


def _close(found, expected):
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("size", SIZES)
def test_resized_crops_are_bilinear(size):
    images, step = _images(size), STEPS["random_resized_crop"]
    drawn = step.draw(40, (3, 1))
    assert set(drawn[-1]) == {0, 1}
    for image, found, *draws in zip(images, step.apply(images, drawn), *drawn, strict=True):
        top, left, height, width, flip = map(float, draws)
        rows = (top + height * np.linspace(0, 1, size[0])) * (size[0] - 1)
        columns = (left + width * np.linspace(0, 1, size[1])) * (size[1] - 1)
        grid = np.meshgrid(rows, columns[::-1] if flip else columns, indexing="ij")
        channels = [
            ndimage.map_coordinates(image[..., part], grid, float, 1, mode="nearest")
            for part in range(size[2])
        ]
        _close(found, np.stack(channels, -1))


@pytest.mark.parametrize("size", SIZES)
def test_jitter_is_that_of_its_definition(size):
    images, step = _images(size), STEPS["color_jitter"]
    drawn = step.draw(40, (3, 1))
    found = step.apply(images, drawn)
    for image, result, *factors in zip(images, found, *drawn, strict=True):
        brightness, contrast, saturation = map(float, factors)
        values = image * brightness
        mean = _gray(values).mean()
        values = mean + contrast * (values - mean)
        _close(result, _gray(values) + saturation * (values - _gray(values)))


def _smoothed(image):
    kernel = np.ones((3, 3, 1))
    kernel[1, 1] = 5
    found, smooth = image.copy(), ndimage.convolve(image, kernel / 13)
    found[1:-1, 1:-1] = np.round(smooth[1:-1, 1:-1])
    return found


def _mapped(name, image, strength):
    height, width = image.shape[:2]
    angle, shear, shift = np.radians(30) * strength, 0.3 * strength, 0.3 * strength
    linear = np.eye(2)  # of x and y
    if name == "rotate":
        linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    elif name.startswith("shear"):
        linear[(0, 1) if name == "shear_x" else (1, 0)] = shear
    center = np.array([width - 1, height - 1]) / 2
    offset = center - linear @ center
    if name.startswith("translate"):
        offset += [shift * width, 0] if name == "translate_x" else [0, shift * height]
    # SciPy's coordinates are y and x.
    settings = {"offset": offset[::-1], "order": 1, "mode": "grid-constant", "cval": 128}
    matrix = linear[::-1, ::-1]
    return np.stack(
        [ndimage.affine_transform(part, matrix, **settings) for part in np.moveaxis(image, -1, 0)],
        -1,
    )


def _expected(name, image, strength):
    values, factor, size = image.astype(float), 1 + 0.9 * strength, abs(strength)
    if name in ("autocontrast", "equalize"):
        pictures = [Image.fromarray(part) for part in np.moveaxis(image, -1, 0)]
        return np.stack([getattr(ImageOps, name)(picture) for picture in pictures], -1)
    others = {
        "brightness": lambda: 0.0,
        "contrast": lambda: np.floor(_gray(values).mean() + 0.5),
        "color": lambda: _gray(values),
        "sharpness": lambda: _smoothed(values),
    }
    if name in others:
        other = others[name]()
        return other + factor * (values - other)
    if name == "posterize":
        return values // 2 ** round(4 * size) * 2 ** round(4 * size)
    if name == "solarize":
        return np.where(values < 256 * (1 - size), values, 255 - values)
    return values if name == "identity" else _mapped(name, values, strength)


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("name", numpy_trivial.OPERATIONS)
def test_each_operation_is_that_of_its_definition(name, size):
    images = _images(size, 9) // 2 + 40  # not all of 0..255
    strengths = np.linspace(-0.97, 0.93, 9).astype(np.float32)
    drawn = np.full(9, numpy_trivial.OPERATIONS.index(name), np.int32), strengths
    found = STEPS["trivial_augment"].apply(images, drawn)
    for image, result, strength in zip(images, found, strengths.astype(float), strict=True):
        expected = _expected(name, image, strength)
        if name == "autocontrast":  # Pillow's factor may be rounded down
            assert np.abs(result.astype(int) - expected).max() <= 1
        else:
            _close(result, expected)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("name", ["random_resized_crop", "color_jitter", "trivial_augment"])
def test_images_of_one_value_do_not_overflow(name, value):
    images = np.full((60, 11, 14, 3), value, np.uint8)
    drawn = STEPS[name].draw(60, (1, 2))
    if name == "color_jitter":
        drawn = tuple(np.full(60, factor, np.float32) for factor in (1.2, 1.3, 1.3))
    if name == "trivial_augment":
        operations = [numpy_trivial.OPERATIONS.index(part) for part in ("sharpness", "color")]
        drawn = np.resize(operations, 60), np.resize(np.float32([-1, -1, 1, 1]), 60)
    np.testing.assert_array_equal(STEPS[name].apply(images, drawn), images)


def test_operations_are_in_the_order_of_tensorflow():
    assert numpy_trivial.OPERATIONS == trivial_augment.OPERATIONS


@pytest.mark.parametrize("size", [(8192, 2, 3), (2, 8192, 3), (512, 512, 1)])
def test_means_of_large_images_do_not_overflow(size):
    weights = fixed_point.factors(fixed_point.luma(size[2]))[None]
    white = np.full((1, *size), 255, np.uint8)
    assert fixed_point.mean(white, weights, np)[0] == 255 * fixed_point.ONE
    images = _images(size, 2)
    found = fixed_point.mean(images, weights, np) / fixed_point.ONE
    expected = _gray(images.astype(float)).mean((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


def test_images_that_are_too_large_are_refused():
    drawn = STEPS["color_jitter"].draw(1, (1, 2))
    with pytest.raises(InputError, match="1x8193 pixels are too large"):
        STEPS["color_jitter"].apply(np.zeros((1, 1, 8193, 1), np.uint8), drawn)
