"""The mean of several teachers' outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops


def mean_values(values: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
    """Returns the mean of arrays `[batch, ..., units]`, one for each member.

    Args:
        values: The arrays.
        weights: As for `OnlineTeacher`.
    """
    if weights is None:
        return sum(values[1:], start=values[0]) / float(len(values))
    return sum(share * value for share, value in zip(_shares(weights), values, strict=True))


def mean_logits(logits: Sequence[Any], weights: Sequence[float] | None = None) -> Any:
    """Returns logits of the mean of several distributions.

    Args:
        logits: Arrays `[batch, ..., classes]`, one for each member.
        weights: As for `OnlineTeacher`.

    Returns:
        `log(sum_k w_k softmax(logits_k) / sum_k w_k)`, `[batch, ..., classes]`: log-probabilities,
        which are logits; of a single member, its logits.
    """
    if len(logits) == 1:
        return logits[0]
    log_probabilities = [ops.log_softmax(logit, axis=-1) for logit in logits]
    if weights is None:
        return ops.logsumexp(ops.stack(log_probabilities), axis=0) - ops.log(float(len(logits)))
    weighted = [
        probability + math.log(share)
        for probability, share in zip(log_probabilities, _shares(weights), strict=True)
    ]
    return ops.logsumexp(ops.stack(weighted), axis=0)


def _shares(weights: Sequence[float]) -> list[float]:
    return [weight / math.fsum(weights) for weight in weights]
