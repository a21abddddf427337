"""Dark knowledge with permuted predictions: how much is in the shape, how much in the classes."""

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

_LAST = 2**31 - 1  # above every key that is drawn


@keras.saving.register_keras_serializable("ban_tf")
class PermutedDarkKnowledge(Objective):
    """The teacher's distribution with all but its highest probability permuted; DKPP.

    Furlanello et al., 2018, eq. 11: a new uniform permutation for each sample and each step.
    An example has the same permutation on whichever replica it is.

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

    Classes that are ruled out (see `as_class_pair`) stay where they are.

    To permute logits is to permute probabilities: a softmax treats all classes alike.

    Args:
        logits: `[batch, ..., classes]`. Of several highest entries the first one stays.
        seed: An integer, or two as a tensor `[2]`; the same seed gives the same permutations.
            None draws anew from Keras's global generator.

    Returns:
        `[batch, ..., classes]`.
    """
    logits = ops.convert_to_tensor(logits)
    classes = logits.shape[-1]
    positions = ops.arange(classes, dtype="int32")
    # Not argmax, which need not find the first of several on every backend and device.
    is_highest = logits == ops.max(logits, axis=-1, keepdims=True)
    # Where nothing is highest, because nothing is a number, the last one may stay.
    first = ops.min(ops.where(is_highest, positions, classes - 1), axis=-1, keepdims=True)
    possible = is_possible(logits)
    # Sorting by random keys lists the others in random order, after the highest.
    keys = ops.where(positions == first, -1, random_integers(ops.shape(logits), seed))
    keys = ops.where(possible, keys, _LAST)
    shuffled = ops.argsort(keys, axis=-1)
    # The index in that list of what each position receives: the highest, the others, the rest.
    others = ops.cast(ops.logical_and(possible, positions != first), "int32")
    ruled_out = ops.cast(ops.logical_not(possible), "int32")
    before_rest = classes - ops.sum(ruled_out, axis=-1, keepdims=True)
    index = ops.where(
        possible, ops.cumsum(others, axis=-1), before_rest - 1 + ops.cumsum(ruled_out, axis=-1)
    )
    index = ops.where(positions == first, 0, index)
    return ops.take_along_axis(logits, ops.take_along_axis(shuffled, index, axis=-1), axis=-1)


def random_integers(shape: Any, seed: Any = None) -> Any:
    """Draws int32 numbers of at least 0, of a shape, from a seed that may be a tensor.

    A replica draws for the whole global batch and takes what falls to its own examples, so that
    each example has the numbers that it has on one device.
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
    """Hands a seed that is a tensor to `keras.random`, which takes only integers otherwise."""

    def __init__(self, value: Any):
        self.value = value  # no state, hence no `super().__init__()`, which makes a variable

    def next(self, ordered: bool = True) -> Any:
        """Returns the seed `[2]`."""
        return self.value
