"""Ensembles of predictions, and their diversity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ban_tf.errors import InputError

AVERAGES = ("probabilities", "logits")


def mean_log_probabilities(
    members: Sequence[ArrayLike], average: str = "probabilities"
) -> np.ndarray:
    """Returns the predictions of an ensemble (BANE; Furlanello et al., 2018).

    Args:
        members: Log-probabilities [examples, classes], one array per member.
        average: "probabilities" for the mean of the distributions, "logits" for the normalized
            mean of the log-probabilities.

    Returns:
        Log-probabilities, float64 [examples, classes].

    Raises:
        InputError: If there is no member, their shapes differ, or `average` is unknown.
    """
    if average not in AVERAGES:
        raise InputError(f"`average` must be one of {', '.join(AVERAGES)}. Received: {average!r}.")
    shapes = {np.shape(member) for member in members}
    if len(shapes) != 1:
        raise InputError(
            "An ensemble needs members of one shape [examples, classes]. "
            f"Received: {len(members)} members of shapes {sorted(shapes)}."
        )
    stacked = np.stack([np.asarray(member, np.float64) for member in members])
    if average == "probabilities":
        # log-mean-exp: stable.
        return special.logsumexp(stacked, axis=0) - np.log(len(stacked))
    return special.log_softmax(stacked.mean(axis=0), axis=-1)


def agreement(a: ArrayLike, b: ArrayLike) -> float:
    """Returns the fraction of examples for which two [examples, classes] predict the same class."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(
            "Agreement needs two arrays of one shape [examples, classes]. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    return float(np.mean(a.argmax(axis=-1) == b.argmax(axis=-1)))


def pairwise_disagreement(members: Sequence[ArrayLike]) -> np.ndarray:
    """Returns the diversity of members: the fraction of examples on which two of them disagree.

    Args:
        members: Log-probabilities [examples, classes], one array per member.

    Returns:
        Fractions [members, members], symmetric with a diagonal of zeros.

    References:
        Kuncheva and Whitaker, 2003, "Measures of Diversity in Classifier Ensembles".
    """
    return np.array([[1.0 - agreement(a, b) for b in members] for a in members])
