"""The weights that runs have kept, and whether two runs have the same."""

import keras
import numpy as np


def weights(directory, generation):
    """Returns the weights of a generation as arrays."""
    return keras.models.load_model(directory / f"generation-{generation}/model.keras").get_weights()


def assert_same_weights(one, other, generations, rtol=0.0, atol=0.0):
    """The weights of some generations of two runs are the same, by default to the bit."""
    for generation in generations:
        pairs = zip(weights(one, generation), weights(other, generation), strict=True)
        for found, expected in pairs:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
