"""DKPP: dark knowledge with permuted predictions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat import distribute
from ban_tf.objectives.dark_knowledge import divergence
from ban_tf.objectives.objective import (
    CLASSES,
    Objective,
    as_class_pair,
    check_temperature,
    is_possible,
)

_LAST = 2**31 - 1  # above every random key


@keras.saving.register_keras_serializable("ban_tf")
class PermutedDarkKnowledge(Objective):
    """The teacher's distribution with all but its highest probability permuted; DKPP.

    Furlanello et al., 2018, eq. 11: a new uniform permutation for each sample and each step.
    The permutation of an example does not depend on its replica.

    Args:
        temperature: As for `DarkKnowledge`.

    Raises:
        InputError: The temperature is not positive.
    """

    kinds = CLASSES
    traces_temperature = True

    def __init__(self, temperature: float = 1.0):
        self.temperature = check_temperature(temperature)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns `T^2 KL(permuted p_T || q_T)` of each sample, `[batch, ...]`."""
        teacher_logits, student_logits = as_class_pair(teacher_logits, student_logits)
        return divergence(permute(teacher_logits, seed), student_logits, self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"temperature": self.temperature}


def permute(logits: Any, seed: Any = None) -> Any:
    """Permutes all entries but the highest, uniformly and independently for each sample.

    Ruled-out classes (see `as_class_pair`) keep their positions.

    To permute logits is to permute probabilities: a softmax treats all classes alike.

    Args:
        logits: `[batch, ..., classes]`. Of several highest entries the first keeps its position.
        seed: An integer, or two as a tensor `[2]`; the same seed gives the same permutations.
            None draws from Keras's global generator.

    Returns:
        `[batch, ..., classes]`.
    """
    logits = ops.convert_to_tensor(logits)
    classes = logits.shape[-1]
    positions = ops.arange(classes, dtype="int32")
    # Not argmax, which may not return the first of several on every backend and device.
    # `initial`, since a replica may have no samples.
    is_highest = logits == ops.max(logits, axis=-1, keepdims=True, initial=float("-inf"))
    # If all are NaN there is no highest entry; then the last one stays.
    last = classes - 1
    first = ops.min(ops.where(is_highest, positions, last), axis=-1, keepdims=True, initial=last)
    possible = is_possible(logits)
    # Sorting by random keys lists the others in random order, after the highest.
    keys = ops.where(positions == first, -1, random_integers(ops.shape(logits), seed))
    keys = ops.where(possible, keys, _LAST)
    shuffled = ops.argsort(keys, axis=-1)
    # The index in that list of the entry for each position: the highest, the others, the rest.
    others = ops.cast(ops.logical_and(possible, positions != first), "int32")
    ruled_out = ops.cast(ops.logical_not(possible), "int32")
    before_rest = classes - ops.sum(ruled_out, axis=-1, keepdims=True)
    index = ops.where(
        possible, ops.cumsum(others, axis=-1), before_rest - 1 + ops.cumsum(ruled_out, axis=-1)
    )
    index = ops.where(positions == first, 0, index)
    return ops.take_along_axis(logits, ops.take_along_axis(shuffled, index, axis=-1), axis=-1)


def random_integers(shape: Any, seed: Any = None) -> Any:
    """Draws nonnegative int32 numbers from a seed that may be a tensor.

    A replica draws for the whole global batch and takes the numbers of its examples, so that they
    are the same as on one device.
    """
    if seed is not None and distribute.in_replica():
        share = distribute.share(shape[0])
        everyones = _random_integers((share.total, *shape[1:]), seed)
        return everyones[share.first : share.first + share.size]
    return _random_integers(shape, seed)


def _random_integers(shape: Any, seed: Any) -> Any:
    if seed is not None:
        seed = ops.convert_to_tensor(seed, "int32")
        if len(seed.shape) == 0:
            seed = ops.stack([seed, ops.zeros_like(seed)])
        # A JAX key is unsigned; a TensorFlow seed must be signed for XLA.
        seed = _GivenSeed(ops.cast(seed, "uint32") if keras.backend.backend() == "jax" else seed)
    return keras.random.randint(shape, 0, _LAST, dtype="int32", seed=seed)


class _GivenSeed(keras.random.SeedGenerator):
    """Passes a seed tensor to `keras.random`, which otherwise only takes integers."""

    def __init__(self, value: Any):
        self.value = value  # no state, hence no `super().__init__()`, which creates a variable

    def next(self, ordered: bool = True) -> Any:
        """Returns the seed `[2]`."""
        return self.value
