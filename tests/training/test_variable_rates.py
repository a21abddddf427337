"""Learning rates of single variables: as of another optimizer with that rate."""

import keras
import numpy as np
import pytest

from ban_tf.config.groups import training as flags
from ban_tf.errors import InputError
from ban_tf.training import optimizers, variable_rates
from ban_tf.training.trainer import compile_fresh


def _variables(factor):
    rng = np.random.default_rng(0)
    slow, fast = (
        keras.Variable(rng.normal(size=(3, 4)).astype("float32"), name="kernel") for _ in "ab"
    )
    slow.learning_rate_factor = factor
    return [slow, fast]


def _trained(optimizer, variables):
    optimizer.build(variables)
    rng = np.random.default_rng(1)
    for _ in range(3):
        optimizer.apply([rng.normal(size=(3, 4)).astype("float32") for _ in variables], variables)
    return [np.asarray(variable) for variable in variables]


@pytest.mark.parametrize("name", flags._OPTIMIZERS)
def test_a_factor_is_another_learning_rate(name):
    try:
        make = [
            optimizers.make_optimizer(name, rate, weight_decay=0.1, by_variable=scaled)
            for rate, scaled in ((0.01, True), (0.01, False), (0.001, False))
        ]
    except InputError as error:  # a Keras without it
        pytest.skip(str(error))
    mixed, fast, slow = (
        _trained(optimizer, _variables(factor))
        for optimizer, factor in zip(make, (0.1, 1.0, 1.0), strict=True)
    )
    np.testing.assert_allclose(mixed[0], slow[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(mixed[1], fast[1], rtol=1e-5, atol=1e-7)
    assert not np.allclose(mixed[0], fast[0], rtol=1e-5)


def test_a_copied_optimizer_has_the_factors_of_its_variables():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.layers[0].kernel.learning_rate_factor = 1e-3
    before = [np.asarray(layer.kernel) for layer in model.layers]
    optimizer = optimizers.make_optimizer("adam", 0.1, by_variable=True)
    compile_fresh(model, {"optimizer": optimizer, "loss": "mse"})
    model.fit(np.ones((8, 2)), np.ones(8), epochs=1, verbose=0)
    moved = [
        np.abs(np.asarray(layer.kernel) - old).max()
        for layer, old in zip(model.layers, before, strict=True)
    ]
    assert 0 < moved[0] < 0.002 and moved[1] > 0.05
    assert variable_rates.scaled(keras.optimizers.Adam) is type(optimizer)
