"""U-Nets: their shapes, names, parameters, and what is refused."""

import re

import keras
import numpy as np
import pytest

from ban_tf.architectures import unet
from ban_tf.errors import InputError


def test_logits_have_the_size_of_the_image_whatever_it_is():
    for shape in ((32, 32, 3), (21, 30, 1)):
        model = unet.build(shape, 4, depth=2, width=4)
        found = model(np.zeros((2, *shape), "float32"))
        assert found.shape == (2, *shape[:2], 4)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        assert model.layers[-1].name == "logits"
        assert model.layers[1].name == "convolution"


def test_parameters_are_counted_by_hand_and_bounded_from_below():
    model = unet.build((16, 16, 3), 5, depth=1, width=4, dropout=0.1)
    convolutions = [(3, 4), (4, 4), (4, 8), (8, 8), (8, 4), (8, 4), (4, 4)]
    expected = sum(9 * a * b + 4 * b for a, b in convolutions) + 4 * 5 + 5
    assert model.count_params() == expected
    for name in ("unet-1-4", "unet-3-16", "unet-4-3"):
        settings = unet.parse(name)
        layers, parameters = unet.extent(**settings)
        built = unet.build((32, 32, 3), 2, **settings)
        assert parameters <= built.count_params()
        kinds = (keras.layers.Conv2D,)
        assert layers == sum(isinstance(layer, kinds) for layer in built.layers)


@pytest.mark.parametrize("name", ["unet-3", "unet-0-16", "unet-11-16", "unet-2-0", "unet"])
def test_names_of_another_form_are_refused(name):
    with pytest.raises(InputError, match=re.escape(f"--arch={name}: ")):
        unet.parse(name)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(InputError, match="halves images 4 times, but they have 8x32 pixels"):
        unet.build((8, 32, 3), 2, depth=4, width=4)
