"""DenseNets: sizes that Huang et al. print, their structure, and students of other shapes."""

import pickle
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm

from ban_tf import architectures
from ban_tf.architectures import blocks, densenet
from ban_tf.compat import copies
from ban_tf.layers import fuse
from ban_tf.layers.recomputed import Recomputed


@pytest.fixture(autouse=True)
def default_policy():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("name", "classes", "settings", "millions"),
    [
        ("densenet-100-12", 100, {}, 0.80),
        ("densenet-190-40", 100, {}, 25.82),
        ("densenet-112-33", 10, {}, 6.89),
        ("densenet-90-60", 10, {"final_transition": True}, 16.17),
    ],
)
def test_parameter_counts_as_planned(name, classes, settings, millions):
    plan = densenet.plan(**densenet.parse(name), **settings)
    assert round(_count(*plan, classes) / 1e6, 2) == millions


def test_the_parameter_count_without_bottlenecks():
    settings = {"compression": 1.0, "bottleneck": False}
    trained, _ = architectures.count_parameters("densenet-40-12", (32, 32, 3), 10, **settings)
    assert round(trained / 1e6, 2) == 1.02


def test_counting_agrees_with_building():
    model = architectures.build("densenet-22-12", (8, 8, 1), 10)
    trained, everything = architectures.count_parameters("densenet-22-12", (8, 8, 1), 10)
    assert everything == model.count_params()
    assert trained == sum(weight.size for weight in map(np.asarray, model.trainable_weights))


def test_units_join_what_came_before_and_transitions_compress_and_pool():
    model = architectures.build("densenet-22-12", (32, 32, 3), 10)
    assert model.get_layer("convolution").output.shape == (None, 32, 32, 24)
    joins = [model.get_layer(f"block1_unit{unit}_join").output.shape[-1] for unit in (1, 2, 3)]
    assert joins == [36, 48, 60]
    assert model.get_layer("transition1_pooling").output.shape == (None, 16, 16, 30)
    assert model.get_layer("block1_unit2_bottleneck").filters == 48
    assert model.get_layer("pooling").output.shape == (None, 69)


@pytest.mark.parametrize("factor", ["depth=0.5", "depth=2", "depth=4", "compression=0.75"])
@pytest.mark.parametrize("final_transition", [False, True])
def test_students_have_the_hidden_sizes_of_their_teacher(factor, final_transition):
    """Furlanello et al., 2018, Table 4."""
    name = "densenet-90-60"
    first, teacher = densenet.plan(**densenet.parse(name), final_transition=final_transition)
    student_first, student = densenet.plan(
        **densenet.parse(f"{name}@{factor}"), final_transition=final_transition
    )
    assert student_first == first
    hidden = [block.transition for block in teacher]
    assert [block.transition for block in student] == hidden
    assert hidden[:2] == [480, 660]
    key, value = factor.split("=")
    units = round(14 * float(value)) if key == "depth" else 14
    assert [len(block.growths) for block in student] == [units] * 3
    if key == "depth":
        assert [sum(block.growths) for block in student] == [14 * 60] * 3


@pytest.mark.parametrize(("factor", "millions"), [(0.5, 21.35), (2, 13.74), (3, 12.95), (4, 12.6)])
def test_students_of_other_depth_are_as_large_as_in_the_paper(factor, millions):
    name = f"densenet-90-60@depth={factor}"
    first, blocks = densenet.plan(**densenet.parse(name), final_transition=True)
    assert round(_count(first, blocks, 100) / 1e6, 2) == millions


@pytest.mark.parametrize("name", ["densenet-22-12", "densenet-22-12@depth=2"])
@pytest.mark.parametrize("settings", [{}, {"final_transition": True}])
def test_a_network_is_built_as_planned(name, settings):
    trained, _ = architectures.count_parameters(name, (32, 32, 3), 10, **settings)
    assert trained == _count(*densenet.plan(**densenet.parse(name), **settings), 10)


def _count(first, blocks, classes):
    """Trained parameters of a DenseNet-BC for color images, by hand."""
    channels, count = first, 27 * first
    for block in blocks:
        for growth in block.growths:
            count += 2 * channels + 4 * growth * channels  # normalize, 1×1
            count += 2 * 4 * growth + 9 * 4 * growth * growth  # normalize, 3×3
            channels += growth
        if block.transition:
            count += 2 * channels + channels * block.transition
            channels = block.transition
    return count + 2 * channels + channels * classes + classes


def _pair():
    models = []
    for remat in (False, True):
        keras.utils.set_random_seed(1)
        models.append(architectures.build("densenet-10-4", (8, 8, 1), 3, remat=remat))
    models[1].set_weights(models[0].get_weights())
    return models


def _trained(model):
    """Returns the weights by name, with moving statistics, of a model after two steps."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(16, 8, 8, 1)).astype("float32")
    labels = generator.integers(0, 3, 16)
    names = [weight.path for weight in model.weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
    return dict(zip(names, model.get_weights(), strict=True))


def _assert_alike(recomputed, kept):
    """Weights, and moving statistics too: they move once, though the network runs twice."""
    for (name, first), second in zip(kept.items(), recomputed.values(), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def recomputing_and_kept():
    """A network that recomputes, and the weights of its like that does not after training."""
    plain, recomputing = _pair()
    return recomputing, _trained(plain)


def _reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def _cloned(model, _):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.nightly
@pytest.mark.parametrize(
    "copy",
    [
        _reloaded,
        _cloned,
        lambda model, folder: fuse(model),
        lambda model, folder: copies.with_same_weights(model),
        lambda model, folder: pickle.loads(pickle.dumps(model)),
    ],
    ids=["loaded", "cloned", "fused", "copied", "pickled"],
)
def test_recomputing_gives_the_same_training_after_any_copying(
    copy, recomputing_and_kept, tmp_path
):
    recomputing, kept = recomputing_and_kept
    copied = copy(recomputing, tmp_path)
    assert copied is not recomputing
    assert [type(layer) is Recomputed for layer in copied.layers].count(True) == 3
    _assert_alike(_trained(copied), kept)


@pytest.mark.nightly
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_recomputing_gives_the_same_training(policy):
    keras.config.set_dtype_policy(policy)
    plain, recomputing = _pair()
    _assert_alike(_trained(recomputing), _trained(plain))


def test_gradients_of_eager_steps_are_those_without_recomputing():
    generator = np.random.default_rng(0)
    images, sign = (generator.normal(size=size) for size in ((8, 8, 8, 1), (8, 3)))

    def gradients(model):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(np.float32(images), training=True) * np.float32(sign))
        weights = [variable.value for variable in model.trainable_variables]
        return {
            weight.path: gradient
            for weight, gradient in zip(
                model.trainable_variables, tape.gradient(total, weights), strict=True
            )
        }

    plain, recomputing = map(gradients, _pair())
    for (path, expected), found in zip(plain.items(), recomputing.values(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=path)


def test_recomputing_drops_the_units_that_were_dropped():
    """Of a dropout, the gradient is its mask."""
    inputs = keras.Input((4, 4, 2))
    outputs = blocks.recomputed(keras.layers.Dropout(0.5, seed=1), inputs, "part")
    model = keras.Model(inputs, outputs)
    x = tf.Variable(np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype("float32"))
    with tf.GradientTape() as tape:
        dropped = model(x, training=True)
        total = tf.reduce_sum(dropped)
    np.testing.assert_allclose(dropped / x, tape.gradient(total, x), rtol=1e-6)
    assert not np.allclose(model(x, training=True), dropped)  # the next step drops others


@pytest.mark.nightly
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_plain_keras_loads_a_recomputing_network_as_a_plain_one(tmp_path, suffix):
    model = architectures.build("densenet-10-4", (8, 8, 1), 3, remat=True)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.save(tmp_path / "images.npy", images)
    model.save(tmp_path / f"model{suffix}")
    script = (
        "import sys, keras, numpy as np\n"
        f"model = keras.models.load_model('model{suffix}')\n"
        "np.save('logits.npy', model(np.load('images.npy')))\n"
        "found = {type(layer).__module__ for layer in model._flatten_layers()}\n"
        "assert all(module.startswith('keras.src.') for module in found), found\n"
        "momenta = {getattr(layer, 'momentum', 0.9) for layer in model._flatten_layers()}\n"
        "assert momenta == {0.9}, momenta\n"
        "assert not any(name.startswith('ban_tf') for name in sys.modules)\n"
    )
    warm.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), model(images), atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("input_shape", [(8, 8, 1), (28, 28, 1), (33, 32, 3)])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_float32_logits_for_any_image_size_and_policy(input_shape, policy):
    keras.config.set_dtype_policy(policy)
    model = architectures.build("densenet-10-4", input_shape, 7, dropout=0.2)
    logits = model(np.ones((2, *input_shape), "float32"), training=True)
    assert logits.shape == (2, 7)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("densenet-9-12", "depth.*at least 10"),
        ("densenet-22-0", "growth.*at least 1"),
        ("densenet-22", "densenet-DEPTH-GROWTH"),
        ("densenet-22-12@width=2", "densenet-DEPTH-GROWTH"),
        ("densenet-22-12@depth=2@depth=3", "densenet-DEPTH-GROWTH"),
        ("densenet-22-12@depth=0", "depth must be between"),
        ("densenet-22-12@compression=1.2.3", "densenet-DEPTH-GROWTH"),
        ("densnet-22-12", "did you mean densenet-22-12"),
    ],
)
def test_wrong_names_are_explained(name, message):
    with pytest.raises(ValueError, match=f"name={name}: .*{message}"):
        architectures.resolve(name)


def test_a_student_without_room_to_grow_is_refused():
    with pytest.raises(ValueError, match="10 units has only 8 channels to add"):
        architectures.build("densenet-10-8@depth=10", (8, 8, 1), 10)
    with pytest.raises(ValueError, match=r"compression=1\.5"):
        architectures.build("densenet-10-4", (8, 8, 1), 10, compression=1.5)
