"""The base of all objectives: what a student is asked to match, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


class Objective:
    """What a student is asked to match.

    An objective knows neither models nor data. It gives a loss per sample (per token, for
    sequences); weights that depend on the whole batch are given apart, so that a train step can
    normalise them over all replicas.
    """

    needs_labels = False
    needs_teacher = True

    def losses(
        self, labels: Any, teacher_logits: Any, student_logits: Any, *, seed: Any = None
    ) -> Any:
        """Returns the loss of each sample, before any weight that depends on the batch.

        Args:
            labels: Integers `[batch, ...]` or distributions `[batch, ..., classes]`.
            teacher_logits: `[batch, ..., classes]`.
            student_logits: `[batch, ..., classes]`.
            seed: An int32 tensor `[2]` for objectives that draw, such as (seed, step).

        Returns:
            `[batch, ...]`.
        """
        raise NotImplementedError

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns batch-wide weights `[batch, ...]`, not normalised; None if all are equal."""
        return None

    def __call__(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss of each sample `[batch, ...]`, batch-wide weights included.

        Args:
            labels: As for `losses`.
            teacher_logits: As for `losses`.
            student_logits: As for `losses`.
            sample_weight: `[batch, ...]`; enters how batch-wide weights are normalised, and is
                not itself multiplied in: that is for whoever averages.
            seed: As for `losses`.
        """
        losses = self.losses(labels, teacher_logits, student_logits, seed=seed)
        weights = self.weights(labels, teacher_logits)
        return losses if weights is None else losses * normalise(weights, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Objective:
        """Makes an objective from its configuration."""
        return cls(**config)


def normalise(
    weights: Any, sample_weight: Any = None, reduce: Callable[[Any], Any] | None = None
) -> Any:
    """Scales batch-wide weights so that their mean over the batch is one.

    The mean of weighted losses is then the sum of losses times weights that sum to one, as in
    Furlanello et al., 2018, eq. 9 and 10. Samples of weight zero are not part of the batch.

    Args:
        weights: `[batch, ...]`, not negative.
        sample_weight: `[batch, ...]`, or None where all count alike.
        reduce: Sums a scalar over replicas.

    Returns:
        `weights * sum(sample_weight) / sum(sample_weight * weights)`, `[batch, ...]`; zeros
        where the total weight is zero.
    """
    weights = ops.stop_gradient(weights)
    counted = ops.ones_like(weights) if sample_weight is None else sample_weight
    counted = ops.cast(counted, weights.dtype)
    total, weighted = ops.sum(counted), ops.sum(counted * weights)
    if reduce is not None:
        total, weighted = reduce(total), reduce(weighted)
    return weights * ops.divide_no_nan(total, weighted)


def as_float(logits: Any) -> Any:
    """Returns logits as float64 if they are, else as float32, whatever the model computed in."""
    logits = ops.convert_to_tensor(logits)
    wide = keras.backend.standardize_dtype(logits.dtype) == "float64"
    return ops.cast(logits, "float64" if wide else "float32")


def teacher_probabilities(teacher_logits: Any, temperature: float = 1.0) -> Any:
    """Returns the teacher's distribution `[batch, ..., classes]`; no gradient flows into it."""
    return ops.softmax(ops.stop_gradient(as_float(teacher_logits)) / temperature, axis=-1)


def check_temperature(temperature: float) -> float:
    """Returns the temperature as a float.

    Raises:
        ValueError: It is not positive and finite.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"`temperature` must be positive and finite. Received: {temperature}")
    return float(temperature)


def check_weight(name: str, weight: float) -> float:
    """Returns the weight of a part of an objective as a float.

    Raises:
        ValueError: It is negative or not finite.
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"`{name}` must be finite and not negative. Received: {weight}")
    return float(weight)
