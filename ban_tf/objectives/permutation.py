"""Dark knowledge with permuted predictions: how much is in the shape, how much in the classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.objectives.dark_knowledge import divergence
from ban_tf.objectives.objective import (
    Objective,
    as_float,
    check_temperature,
    teacher_probabilities,
)


@keras.saving.register_keras_serializable("ban_tf")
class PermutedDarkKnowledge(Objective):
    """The teacher's distribution with all but its highest probability permuted; DKPP.

    Furlanello et al., 2018, eq. 11: a new uniform permutation for each sample and each step.

    Args:
        temperature: As for `DarkKnowledge`.

    Raises:
        ValueError: The temperature is not positive.
    """

    def __init__(self, temperature: float = 1.0):
        self.temperature = check_temperature(temperature)

    def losses(
        self, labels: Any, teacher_logits: Any, student_logits: Any, *, seed: Any = None
    ) -> Any:
        """Returns T^2 KL(permuted p_T || q_T) of each sample, `[batch, ...]`."""
        permuted = permute(as_float(teacher_logits), seed)
        probabilities = teacher_probabilities(permuted, self.temperature)
        student_logits = as_float(student_logits) / self.temperature
        return self.temperature**2 * divergence(probabilities, student_logits)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"temperature": self.temperature}


def permute(logits: Any, seed: Any = None) -> Any:
    """Permutes all entries but the highest, uniformly and independently for each sample.

    To permute logits is to permute probabilities: a softmax treats all classes alike.

    Args:
        logits: `[batch, ..., classes]`. Of several highest entries the first one stays.
        seed: An int32 tensor `[2]`; the same seed gives the same permutations. None draws anew
            from Keras's global generator.

    Returns:
        `[batch, ..., classes]`.
    """
    classes = logits.shape[-1]
    highest = ops.expand_dims(ops.argmax(logits, axis=-1), axis=-1)
    stays = ops.arange(classes, dtype=highest.dtype) == highest
    # Both orders list the highest entry first, then the others: at random, and as they are.
    shuffled = ops.argsort(ops.where(stays, -1.0, uniform(ops.shape(logits), seed)), axis=-1)
    positions = ops.broadcast_to(ops.arange(classes, dtype="float32"), ops.shape(logits))
    in_place = ops.argsort(ops.where(stays, -1.0, positions), axis=-1)
    source = ops.take_along_axis(shuffled, ops.argsort(in_place, axis=-1), axis=-1)
    return ops.take_along_axis(logits, source, axis=-1)


def uniform(shape: Any, seed: Any = None) -> Any:
    """Draws float32 numbers in [0, 1) of a shape, from a seed that may be a tensor."""
    if seed is not None and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_uniform(shape, tf.cast(seed, tf.int32))
    # JAX takes a pair of unsigned integers for a key.
    return keras.random.uniform(shape, seed=None if seed is None else ops.cast(seed, "uint32"))
