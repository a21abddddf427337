"""Models in half precision, rebuilt in float32 with the same weights."""

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.compat.full_precision import in_float32
from ban_tf.distillation.ensemble import ensemble

IMAGES = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def half(request):
    """An ensemble of two networks in half precision, saved layers within layers."""
    keras.config.set_dtype_policy(request.param)
    try:
        keras.utils.set_random_seed(0)
        members = [architectures.build("wrn-10-1", (8, 8, 1), 3) for _ in range(2)]
        return ensemble(members, output_kind="categorical")
    finally:
        keras.config.set_dtype_policy("float32")


def _dtypes(model):
    return {layer.compute_dtype for layer in model._flatten_layers()}


def test_all_layers_compute_in_float32_with_the_same_weights(half):
    assert len(_dtypes(half)) == 2
    full = in_float32(half)
    assert _dtypes(full) == {"float32"} and full.name == half.name
    for one, other in zip(half.get_weights(), full.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(full(IMAGES), half(IMAGES), atol=0.02)
    assert {tensor.dtype for tensor in (*full.inputs, *full.outputs)} == {"float32"}


def test_adapted_state_is_kept():
    normalize = keras.layers.Normalization(dtype="float32")
    normalize.adapt(3 * IMAGES + 1)
    dense = keras.layers.Dense(2, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((8, 8, 1)), normalize, keras.layers.Flatten(), dense])
    np.testing.assert_allclose(in_float32(model)(IMAGES), model(IMAGES), atol=0.05)


def test_a_model_in_float32_is_returned_itself():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert in_float32(model) is model
