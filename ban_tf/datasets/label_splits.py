"""Held-out parts of examples with several labels each, in which every label has its share.

References:
    Sechidis, Tsoumakas and Vlahavas, 2011, "On the stratification of multi-label data".
"""

from __future__ import annotations

import numpy as np


def choose(labels: np.ndarray, fraction: float, seed: int, at_least: int = 0) -> np.ndarray:
    """Returns which examples are held out, bool `[examples]`.

    Examples of the rarest label that is left are dealt out first, each to the part that still needs
    most of them.

    Args:
        labels: Zeros and ones, integers `[examples, labels]`.
        fraction: Fraction of the examples of each label that is held out, in [0, 1).
        seed: Seed of the choice.
        at_least: Number of examples of each label to hold out at least, where one remains.
    """
    examples = len(labels)
    held_out = np.zeros(examples, dtype=bool)
    if not fraction:
        return held_out
    counts = labels.sum(axis=0)
    wanted = np.minimum(
        np.maximum(np.round(fraction * counts), at_least), np.maximum(counts - 1, 0)
    )
    # What each part still needs of each label, and in all: what remains, and what is held out.
    needs = np.stack([counts - wanted, wanted])
    room = np.array([examples - round(fraction * examples), round(fraction * examples)], float)
    order = np.random.default_rng(seed).permutation(examples)
    left = counts.astype(float)
    while left.any():
        rarest = np.argmin(np.where(left > 0, left, np.inf))
        for example in order[labels[order, rarest] == 1]:
            need = needs[:, rarest]
            part = int(np.argmax(room if need[0] == need[1] else need))
            held_out[example] = part
            needs[part] -= labels[example]
            room[part] -= 1
        dealt = labels[order, rarest] == 1
        left -= labels[order[dealt]].sum(axis=0)
        order = order[~dealt]
    for example in order:  # which have no label
        part = int(np.argmax(room))
        held_out[example] = part
        room[part] -= 1
    return held_out
