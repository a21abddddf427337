"""Losses between the features of a teacher and of a student: functions of tensors alone.

Each returns the mean over the examples, a scalar, for features `[batch, ..., channels]` over the
same positions. What brings features of unlike networks there is in `distillation.features`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

from keras import ops


def fitnets(theirs: Any, ours: Any) -> Any:
    """Returns the mean squared difference of features.

    Args:
        theirs: The teacher's, `[batch, ..., channels]`.
        ours: The student's, of the same shape.

    References:
        Romero et al., 2015, "FitNets: Hints for Thin Deep Nets", eq. 3, there without the mean.
    """
    return ops.mean(ops.square(theirs - ours))


def attention(theirs: Any, ours: Any) -> Any:
    """Returns the squared distance of normalized attention maps.

    The map of an example is the sum of the squared channels at each position, divided by its
    Euclidean norm. The distance is squared as in the authors' code, so that its gradient is finite
    where both agree.

    Args:
        theirs: The teacher's features, `[batch, ..., channels]`.
        ours: The student's, with any number of channels.

    References:
        Zagoruyko and Komodakis, 2017, "Paying More Attention to Attention", eqs. 1 and 2.
    """
    return ops.mean(ops.sum(ops.square(_attention_map(theirs) - _attention_map(ours)), axis=-1))


def cosine(theirs: Any, ours: Any) -> Any:
    """Returns one minus the cosine of the channels, averaged over positions.

    Args:
        theirs: The teacher's features, `[batch, ..., channels]`.
        ours: The student's, of the same shape.
    """
    return 1.0 - ops.mean(ops.sum(_unit(theirs) * _unit(ours), axis=-1))


def relational(theirs: Any, ours: Any) -> Any:
    """Returns how the distances and angles between examples differ.

    Relational knowledge distillation: the Huber loss of the distances between two examples, in
    units of their mean, plus twice that of the cosines of the angles between three. Both are
    averaged over all pairs and triplets of the batch, as in the authors' code; on several replicas
    the batch is that of the replica.

    Args:
        theirs: The teacher's features, `[batch, channels]`.
        ours: The student's, with any number of channels.

    References:
        Park et al., 2019, "Relational Knowledge Distillation", eqs. 4 to 8.
    """
    (distances, angles), (our_distances, our_angles) = _relations(theirs), _relations(ours)
    return _huber(distances - our_distances) + 2.0 * _huber(angles - our_angles)


class FeatureLossEntry(NamedTuple):
    """A loss by name.

    Attributes:
        function: The loss, a function of both features.
        same_channels: Whether it compares channel with channel, so that those of the student are
            projected to the teacher's.
        positions: Whether it needs positions; None if these are averaged beforehand.
    """

    function: Callable[[Any, Any], Any]
    same_channels: bool
    positions: bool | None = False


LOSSES = MappingProxyType(
    {
        "fitnets": FeatureLossEntry(fitnets, same_channels=True),
        "attention": FeatureLossEntry(attention, same_channels=False, positions=True),
        "cosine": FeatureLossEntry(cosine, same_channels=True),
        "relational": FeatureLossEntry(relational, same_channels=False, positions=None),
    }
)


def _attention_map(features: Any) -> Any:
    energy = ops.sum(ops.square(features), axis=-1)
    return _unit(ops.reshape(energy, (ops.shape(energy)[0], -1)))


def _norm(x: Any) -> tuple[Any, Any]:
    """Returns the norms along the last axis, and 1 in place of 0, to divide by.

    A square root of 0 has no finite gradient, even where it is not used.
    """
    square = ops.sum(ops.square(x), axis=-1)
    positive = square > 0
    divisor = ops.sqrt(ops.where(positive, square, ops.ones_like(square)))
    return ops.where(positive, divisor, ops.zeros_like(divisor)), divisor


def _unit(x: Any) -> Any:
    """Returns vectors of norm 1; those of zeros stay."""
    return x / _norm(x)[1][..., None]


def _relations(x: Any) -> tuple[Any, Any]:
    """Returns distances in units of their mean, `[batch, batch]`, and the cosines of angles."""
    differences = x[None] - x[:, None]  # from each example to each
    distances, divisors = _norm(differences)
    count = ops.sum(ops.cast(distances > 0, distances.dtype))
    mean = ops.divide_no_nan(ops.sum(distances), count)
    directions = differences / divisors[..., None]
    cosines = ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))
    return ops.divide_no_nan(distances, mean), cosines


def _huber(difference: Any) -> Any:
    size = ops.abs(difference)
    return ops.mean(ops.where(size < 1.0, 0.5 * ops.square(size), size - 0.5))
