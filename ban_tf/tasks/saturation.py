"""When to stop: a generation that is no better than the one before it, beyond doubt.

The gains of being born again saturate after a few generations (Furlanello et al., 2018,
section 4.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.metrics import intervals


def error_improved(now: ArrayLike, before: ArrayLike, labels: ArrayLike) -> bool:
    """Tells whether validation error fell by more than its 95 % interval leaves in doubt.

    Args:
        now: Log-probabilities `[examples, classes]` of the newest generation.
        before: The same of the one before it.
        labels: The true classes, integers `[examples]`.
    """
    wrong = [np.asarray(each).argmax(-1) != np.asarray(labels) for each in (now, before)]
    _, _, high = intervals.paired_difference(*wrong)
    return bool(high < 0)


def likelihood_improved(now: ArrayLike, before: ArrayLike, window: int = 35) -> bool:
    """Tells whether perplexity fell by more than its 95 % interval leaves in doubt.

    Args:
        now: Log-probabilities of the words of a text `[words]` by the newest generation.
        before: The same by the one before it.
        window: Words next to each other that are taken as one observation, since they are not
            independent.
    """
    gains = np.asarray(now, np.float64) - np.asarray(before, np.float64)
    windows = [part.mean() for part in np.array_split(gains, max(2, len(gains) // window))]
    return intervals.mean_interval(windows).low > 0


def ends(improved: bool, number: int) -> bool:
    """Tells whether a lineage ends with a generation, and says so if it does."""
    if not improved:
        print(
            f"Generation {number} is not better than generation {number - 1} on the validation "
            "data, by more than its 95 % interval: --gens=auto ends here."
        )
    return not improved
