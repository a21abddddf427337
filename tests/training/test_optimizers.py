"""Optimizers by name, weight decay as the paper's networks had it, and learning-rate curves."""

import re

import keras
import numpy as np
import pytest

from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.training import optimizers, trainer


def _is_there(name):
    try:
        return bool(optimizers.make_optimizer(name, 0.1))
    except InputError:
        return False


# The oldest supported Keras lacks the latest of them.
OPTIMIZERS = [name for name in options.FLAGS["optimizer"].choices if _is_there(name)]


def _model():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.LayerNormalization()]
    )


def test_decay_joins_the_gradient_of_kernels_and_momentum_carries_it():
    """Against the update of Sutskever et al. (2013) in float64, as PyTorch's SGD decays."""
    model = _model()
    kernel = np.float64(model.layers[0].kernel.numpy())
    optimizer = optimizers.make_optimizer("sgd", 0.1, momentum=0.9, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    others = [variable.numpy() for variable in model.trainable_variables[1:]]
    velocity = np.zeros_like(kernel)
    for _ in range(3):
        gradients = [keras.ops.zeros_like(item) for item in model.trainable_variables]
        gradients[0] = keras.ops.ones_like(gradients[0])
        optimizer.apply(gradients)
        gradient = 1.0 + 0.5 * kernel
        velocity = 0.9 * velocity - 0.1 * gradient
        kernel = kernel + 0.9 * velocity - 0.1 * gradient
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), kernel, rtol=1e-5)
    for before, variable in zip(others, model.trainable_variables[1:], strict=True):
        np.testing.assert_array_equal(before, variable.numpy())


def test_other_optimizers_are_keras_own_and_decay_kernels_only():
    model = _model()
    optimizer = optimizers.make_optimizer("adamw", 0.1, weight_decay=0.1)
    assert isinstance(optimizer, keras.optimizers.AdamW)
    kernel, bias = model.layers[0].kernel.numpy(), model.layers[0].bias.numpy()
    gamma = model.layers[1].gamma.numpy()
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), kernel * 0.99, rtol=1e-5)
    np.testing.assert_array_equal(model.layers[0].bias.numpy(), bias)
    np.testing.assert_array_equal(model.layers[1].gamma.numpy(), gamma)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", lambda step: 0.4),
        ("step", lambda step: 0.4 * 0.2 ** sum(step >= drop for drop in (30, 60, 80))),
        ("cosine", lambda step: 0.2 * (1 + np.cos(np.pi * step / 100))),
    ],
)
def test_schedules_follow_their_curve(kind, expected):
    schedule = optimizers.Schedule(kind, 0.4, steps=100)
    again = optimizers.Schedule.from_config(schedule.get_config())
    for step in (0, 1, 29, 30, 59, 60, 79, 80, 99, 100):
        np.testing.assert_allclose(schedule(step), expected(step), atol=1e-7)
        np.testing.assert_allclose(again(step), schedule(step))


def test_warm_up_rises_linearly_to_the_peak():
    schedule = optimizers.Schedule("cosine", 0.4, steps=100, warmup_steps=10)
    np.testing.assert_allclose(
        [schedule(step) for step in range(10)], 0.04 * np.arange(1, 11), 1e-5
    )
    np.testing.assert_allclose(schedule(55), 0.2, rtol=1e-5)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="'nonsense' is not the name of an optimizer"):
        optimizers.make_optimizer("nonsense", 0.1)
    with pytest.raises(ValueError, match="cosines"):
        optimizers.Schedule("cosines", 0.1, steps=10)


def test_the_flag_offers_every_optimizer_of_the_installed_keras():
    choices = set(options.FLAGS["optimizer"].choices)
    others = {keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer}
    others.add(getattr(keras.optimizers, "MultiOptimizer", None))  # these two hold optimizers
    kinds = {
        key.lower()
        for key, kind in vars(keras.optimizers).items()
        if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)
        if kind not in others
    }
    assert kinds <= choices
    assert kinds - {"muon"} <= set(OPTIMIZERS) <= kinds


def test_an_optimizer_that_the_installed_keras_lacks_or_breaks_is_refused():
    for name in {*options.FLAGS["optimizer"].choices} - {*OPTIMIZERS}:
        with pytest.raises(InputError, match=f"{name}.* Keras {re.escape(keras.__version__)}"):
            optimizers.make_optimizer(name, 0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_that_the_flag_offers_moves_the_kernels(name):
    model = _model()
    before = model.get_weights()[0]
    optimizer = optimizers.make_optimizer(name, 0.1, weight_decay=1e-3, clip_norm=1.0)
    model.compile(optimizer, "mse", run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    model.train_on_batch(x, x[:, :2])
    assert np.isfinite(model.get_weights()[0]).all()
    assert not np.allclose(model.get_weights()[0], before)


# FTRL computes weights from the gradients so far, whether they decay or not.
@pytest.mark.parametrize("name", sorted({*OPTIMIZERS} - {"ftrl"}))
def test_no_optimizer_decays_weights_by_default(name):
    """Without a gradient a step changes nothing, also where Keras's own default decays."""
    kernel, lookup = (
        keras.Variable(np.ones((3, 2), "float32"), name=item) for item in ("kernel", "lookup")
    )
    optimizer = optimizers.make_optimizer(name, 0.1, weight_decay=0.0)
    zeros = [keras.ops.zeros((3, 2))] * 2
    optimizer.apply(zeros, [kernel, lookup])
    for variable in (kernel, lookup):
        np.testing.assert_allclose(variable, np.ones((3, 2), "float32"), rtol=1e-6)


@pytest.mark.parametrize("name", sorted({"adamw", "muon", "lion", "adam"} & {*OPTIMIZERS}))
def test_kernels_decay_by_what_is_given(name):
    kernel = keras.Variable(np.ones((3, 2), "float32"), name="kernel")
    optimizer = optimizers.make_optimizer(name, 0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros((3, 2))], [kernel])
    np.testing.assert_allclose(kernel, np.full((3, 2), 1 - 0.1 * 0.5), rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "with loss scaling"])
def test_a_copied_optimizer_excludes_from_weight_decay_what_the_given_one_does(scaled):
    inner = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    inner.exclude_from_weight_decay(var_names=["bias"])
    given = keras.optimizers.LossScaleOptimizer(inner) if scaled else inner
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    trainer.compile_fresh(model, {"optimizer": given, "loss": "mse"})
    assert model.optimizer is not given
    before = [np.ones(weight.shape, "float32") for weight in model.get_weights()]
    model.set_weights(before)
    model.optimizer.apply([np.zeros_like(weight) for weight in before], model.trainable_variables)
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(bias, before[1])
    np.testing.assert_allclose(kernel, (1 - 0.1 * 0.5) * before[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (None, {}, "`name` must be that of an optimizer"),
        ("sgd", {"learning_rate": "a"}, "`learning_rate` must be a finite number of at least 0"),
        ("sgd", {"learning_rate": float("nan")}, "`learning_rate` must be a finite number"),
        ("sgd", {"momentum": 2}, "`momentum` must be a number from 0 to 1"),
        ("adam", {"weight_decay": -1}, "`weight_decay` must be a finite number of at least 0"),
        ("adam", {"clip_norm": 0}, "`clip_norm` must be a number above 0, or None"),
        ("adam", {"by_variable": "no"}, "`by_variable` must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        optimizers.make_optimizer(name, **{"learning_rate": 0.1, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": "a"}, "`learning_rate` must be a finite number"),
        ({"steps": -10}, "`steps` must be an integer of at least 0"),
        ({"warmup_steps": 0.5}, "`warmup_steps` must be an integer of at least 0"),
        ({"drops": None}, "`drops` must be fractions of the training"),
        ({"drops": (7,)}, "`drops` must be fractions of the training"),
        ({"drop_factor": -1}, "`drop_factor` must be a finite number"),
    ],
)
def test_wrong_schedules_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        optimizers.Schedule("step", **{"learning_rate": 0.1, "steps": 10, **options})


def test_an_integer_is_a_learning_rate():
    assert float(optimizers.make_optimizer("adam", 1).learning_rate) == 1.0
