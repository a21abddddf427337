"""Wide ResNets: sizes of the paper, structure of the authors' code, any image size."""

import math

import keras
import numpy as np
import pytest

from ban_tf import architectures
from ban_tf.layers import BatchNormalization


@pytest.fixture(autouse=True)
def default_policy():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("name", "millions_10", "millions_100"),
    [
        ("wrn-16-1", 0.175, 0.181),
        ("wrn-28-1", 0.369, 0.375),
        ("wrn-28-2", 1.468, 1.479),
        ("wrn-28-5", 9.133, 9.162),
        ("wrn-28-10", 36.479, 36.537),
        ("wrn-40-4", 8.949, 8.972),
    ],
)
def test_parameter_counts(name, millions_10, millions_100):
    count, _ = architectures.count_parameters(name, (32, 32, 3), 10)
    assert round(count / 1e6, 3) == millions_10
    of_a_class = 64 * int(name.split("-")[-1]) + 1
    assert round((count + 90 * of_a_class) / 1e6, 3) == millions_100


def test_counting_agrees_with_building():
    model = architectures.build("wrn-16-2", (32, 32, 3), 100)
    count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert architectures.count_parameters("wrn-16-2", (32, 32, 3), 100)[0] == count
    of_ten, _ = architectures.count_parameters("wrn-16-2", (32, 32, 3), 10)
    assert count - of_ten == 90 * (64 * 2 + 1)


@pytest.mark.first_cases(2)
@pytest.mark.parametrize("input_shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_float32_logits_for_any_image_size_and_policy(input_shape, policy):
    keras.config.set_dtype_policy(policy)
    model = architectures.build("wrn-10-1", input_shape, 7)
    logits = model(np.ones((2, *input_shape), "float32"), training=True)
    assert logits.shape == (2, 7)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    compute_dtypes = {layer.compute_dtype for layer in model.layers if "group" in layer.name}
    assert compute_dtypes == {policy.removeprefix("mixed_")}


def test_depth_counts_convolutions_and_resolution_halves_twice():
    model = architectures.build("wrn-22-2", (32, 32, 3), 10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum(layer.kernel_size == (3, 3) for layer in convolutions) == 22 - 3
    assert sum(layer.kernel_size == (1, 1) for layer in convolutions) == 3
    assert not any(layer.use_bias for layer in convolutions)
    sums = [model.get_layer(f"group{group}_block3_sum").output.shape[1:] for group in (1, 2, 3)]
    assert sums == [(32, 32, 32), (16, 16, 64), (8, 8, 128)]


def test_no_projection_where_the_shape_stays():
    names = [layer.name for layer in architectures.build("wrn-16-1", (8, 8, 1), 10).layers]
    assert [name for name in names if "projection" in name] == [
        "group2_block1_projection",
        "group3_block1_projection",
    ]


def test_projection_and_convolution_share_the_preactivated_input():
    model = architectures.build("wrn-16-2", (8, 8, 1), 10)
    for group in (1, 2, 3):
        block = f"group{group}_block1"
        activated = model.get_layer(f"{block}_first_relu").output
        assert model.get_layer(f"{block}_projection").input is activated
        assert model.get_layer(f"{block}_convolution1").input is activated


def test_he_initialization():
    model = architectures.build("wrn-16-4", (32, 32, 3), 10)
    kernel = np.asarray(model.get_layer("group3_block2_convolution1").kernel)
    assert np.std(kernel) == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.02)


def test_batch_normalization_is_fused():
    layers = architectures.build("wrn", (8, 8, 1), 10).layers
    kinds = {type(layer) for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert kinds == {BatchNormalization}


def test_dropout_sits_between_the_convolutions_of_every_block():
    model = architectures.build("wrn-16-1", (8, 8, 1), 10, dropout=0.3)
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.3] * 6
    block = "group2_block1"
    assert (
        model.get_layer(f"{block}_convolution2").input is model.get_layer(f"{block}_dropout").output
    )


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_wrong_dropout_is_refused(dropout):
    with pytest.raises(ValueError, match=r"dropout=.*at least 0 and below 1"):
        architectures.build("wrn", (8, 8, 1), 10, dropout=dropout)


@pytest.mark.nightly
def test_learns_to_distinguish_two_images():
    keras.utils.set_random_seed(0)
    model = architectures.build("wrn-10-1", (8, 8, 1), 2)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32").repeat(8, axis=0)
    labels = np.repeat([0, 1], 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    history = model.fit(images, labels, batch_size=16, epochs=12, verbose=0).history
    assert history["accuracy"][-1] == 1.0
    assert history["loss"][-1] < 0.1 * history["loss"][0]
