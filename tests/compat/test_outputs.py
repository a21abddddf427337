"""What a model's outputs mean, detected and made logits of."""

import keras
import numpy as np
import pytest

from ban_tf.compat import outputs


def _functional(last):
    inputs = keras.Input((4,))
    return keras.Model(inputs, last(keras.layers.Dense(3)(inputs)))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), "linear"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")]), "softmax"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")]), "sigmoid"),
        (_functional(keras.layers.Softmax()), "softmax"),
        (_functional(keras.layers.Activation("softmax")), "softmax"),
        (_functional(keras.ops.softmax), "softmax"),
        (_functional(lambda x: keras.layers.Activation("linear")(keras.ops.softmax(x))), "softmax"),
        (
            keras.Sequential(
                [
                    keras.Input((4,)),
                    keras.layers.Dense(1, "sigmoid"),
                    keras.layers.Activation("linear", dtype="float32"),
                ]
            ),
            "sigmoid",
        ),
        (_functional(_functional(keras.layers.Softmax()).layers[-1]), "softmax"),
        (keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(3)]), "linear"),
    ],
)
def test_the_final_activation_is_detected(model, expected):
    assert list(outputs.final_activations(model).values()) == [expected]


def test_the_mean_of_probabilities_counts_as_probabilities():
    inputs = keras.Input((4,))
    members = [keras.layers.Dense(3, "softmax")(inputs) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Average()(members))
    assert list(outputs.final_activations(model).values()) == ["softmax"]


def test_several_outputs_go_by_their_names():
    inputs = keras.Input((4,))
    heads = {
        "digit": keras.layers.Dense(3, "softmax")(inputs),
        "even": keras.layers.Dense(1, "sigmoid")(inputs),
    }
    model = keras.Model(inputs, heads)
    assert outputs.final_activations(model) == {"digit": "softmax", "even": "sigmoid"}
    assert outputs.output_names(model) == ["digit", "even"]


def test_probabilities_become_logits_of_the_same_distribution():
    probabilities = np.float32([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    logits = np.array(outputs.to_logits(keras.ops.array(probabilities), "softmax"))
    assert np.all(np.isfinite(logits))
    np.testing.assert_allclose(
        np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), probabilities, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(5, 1), (5, 3)])
def test_a_sigmoid_unit_is_a_choice_of_two(shape):
    probabilities = np.random.default_rng(0).uniform(0.01, 0.99, shape).astype("float32")
    logits = np.array(outputs.to_logits(keras.ops.array(probabilities), "sigmoid"))
    assert logits.shape == ((5, 2) if shape == (5, 1) else (5, 3, 2))
    chosen = np.exp(logits[..., 1]) / np.exp(logits).sum(-1)
    np.testing.assert_allclose(chosen, probabilities.reshape(chosen.shape), rtol=1e-4)


def test_a_single_linear_unit_is_the_logit_of_yes():
    found = outputs.to_logits(keras.ops.array([[2.0], [-1.0]]), "linear")
    np.testing.assert_array_equal(found, [[0.0, 2.0], [0.0, -1.0]])
