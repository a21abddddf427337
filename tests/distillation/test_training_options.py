"""What `compile` and the optimizer can do, with a teacher as without."""

import keras
import numpy as np
import pytest
from twins import CLASSES, assert_equal_weights, assert_trains_alike, data, network, sgd, softmax

import ban_tf

layers = keras.layers


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "options", [{"steps_per_execution": 3}, {"run_eagerly": True}, {"jit_compile": True}]
)
def test_ways_of_executing_a_step_train_as_plain_keras(options):
    assert_trains_alike(network, *data(), compile=options)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "options",
    [
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
        {"use_ema": True, "ema_momentum": 0.5},  # averaged weights replace the last at the end
        {"clipnorm": 0.1, "weight_decay": 0.1},
    ],
    ids=["accumulation", "ema-overwriting", "ema", "clipping-and-decay"],
)
def test_options_of_the_optimizer_act_as_in_plain_keras(options):
    assert_trains_alike(network, *data(), optimizer=lambda: sgd(**options))


def test_each_accumulated_step_draws_anew_and_schedules_count_updates():
    x, y = data(8)
    progressive = ban_tf.objectives.Progressive("kd", steps=2)
    losses = {}
    for name, objective in (("dkpp", "dkpp"), ("progressive", progressive)):
        model = ban_tf.BornAgainModel(network(0), network(1), objective)
        optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
        model.compile(optimizer, run_eagerly=True)
        losses[name] = [model.test_on_batch(x, y, return_dict=True)["loss"]]
        for _ in range(6):
            model.reset_metrics()
            losses[name].append(model.train_on_batch(x, y, return_dict=True)["loss"])
    assert len(set(losses["dkpp"][1:])) == 6
    before, *steps = losses["progressive"]
    np.testing.assert_allclose(steps[::2], steps[1::2], rtol=1e-6)
    np.testing.assert_allclose(steps[2], (steps[0] + steps[4]) / 2, rtol=1e-6)
    np.testing.assert_allclose(before, steps[0], rtol=1e-6)


@pytest.mark.nightly
def test_frozen_layers_stay_as_they_are():
    def build():
        model = network()
        model.layers[0].trainable = False
        return model

    frozen = [np.array(weight) for weight in network().layers[0].get_weights()]
    x, y = data()
    student = build()
    model = ban_tf.BornAgainModel(student, teacher=network(seed=1), objective="kd")
    model.compile(sgd())
    model.fit(x, y, verbose=0)
    for before, after in zip(frozen, student.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert_trains_alike(build, x, y)


def mixed(policy, seed=0):
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, activation="tanh"),
                layers.Dense(CLASSES, dtype="float32"),
            ]
        )
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("mixed_bfloat16", {}),
        ("mixed_float16", {}),
        ("mixed_float16", {"gradient_accumulation_steps": 2}),
    ],
)
def test_mixed_precision_trains_as_plain_keras(policy, options):
    assert_trains_alike(lambda: mixed(policy), *data(), optimizer=lambda: sgd(**options), atol=1e-4)


@pytest.mark.nightly
def test_a_float16_student_gets_dynamic_loss_scaling_by_default_as_in_plain_keras():
    x, y = data()
    student = mixed("mixed_float16")
    model = ban_tf.BornAgainModel(student, teacher=network(seed=1), objective="kd")
    optimizer = sgd()
    model.compile(optimizer)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    # A step whose gradients overflow is left out, and the scale halved.
    model.optimizer.build(model.trainable_variables)
    model.optimizer.dynamic_scale.assign(2.0**126)
    before = student.get_weights()
    model.train_on_batch(x, y)
    assert_equal_weights(student, _with_weights(before), atol=0)
    assert float(model.optimizer.dynamic_scale) == 2.0**125
    model.optimizer.dynamic_scale.assign(2.0**10)
    model.train_on_batch(x, y)
    assert any(np.any(a != b) for a, b in zip(before, student.get_weights(), strict=True))


def _with_weights(weights):
    model = mixed("mixed_float16")
    model.set_weights(weights)
    return model


@pytest.mark.nightly
def test_a_student_that_ends_in_float16_logits_is_compared_in_float32():
    x, _ = data()
    keras.utils.set_random_seed(0)
    student = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, dtype="mixed_float16")])
    teacher = network(seed=1)
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(sgd())
    found = model.test_on_batch(x, return_dict=True)["teacher_loss"]
    p, q = softmax(teacher.predict(x, verbose=0)), softmax(student.predict(x, verbose=0))
    np.testing.assert_allclose(found, np.mean(np.sum(p * np.log(p / q), axis=-1)), rtol=1e-4)


@pytest.fixture
def double():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def test_in_float64_a_step_is_exact(double):
    x, y = data(24)
    student, teacher = network(0), network(1)
    model = ban_tf.BornAgainModel(student, teacher, label_weight=0.7, teacher_weight=0.3)
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before = student.get_weights()
    q, p = (as_distribution(net.predict(x, verbose=0)) for net in (student, teacher))
    model.train_on_batch(x, y)
    hidden = np.tanh(np.float64(x) @ before[0] + before[1])
    to_logits = (0.3 * (q - p) + 0.7 * (q - np.eye(CLASSES)[y])) / len(x)
    to_hidden = to_logits @ before[2].T * (1 - hidden**2)
    steps = [x.T @ to_hidden, to_hidden.sum(0), hidden.T @ to_logits, to_logits.sum(0)]
    for old, step, new in zip(before, steps, student.get_weights(), strict=True):
        np.testing.assert_allclose(new, old - 0.1 * step, rtol=0, atol=1e-14)


def as_distribution(logits):
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("policies", [("float64", "float32"), ("float32", "float64")])
def test_weights_by_the_teachers_confidence_take_teachers_of_other_precision(policies):
    x, y = data()
    found = []
    for own, its in (policies, ("float32", "float32")):
        student, teacher = of_precision(own, 0), of_precision(its, 1)
        model = ban_tf.BornAgainModel(student, teacher, "cwtm")
        model.compile(sgd())
        found.append(model.evaluate(x, y, verbose=0, return_dict=True)["teacher_loss"])
    np.testing.assert_allclose(*found, rtol=1e-5)


def of_precision(policy, seed):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, dtype=policy)])
    model.set_weights([np.random.default_rng(seed).normal(size=(6, CLASSES)), np.zeros(CLASSES)])
    return model
