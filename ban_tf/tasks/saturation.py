"""Early stopping of a lineage when a generation is not significantly better than the last.

The gains of born-again training saturate after a few generations (Furlanello et al., 2018,
section 4.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.metrics import intervals, tokens


def error_improved(now: ArrayLike, before: ArrayLike, labels: ArrayLike) -> bool:
    """Returns whether validation error fell significantly, by its 95 % interval.

    Args:
        now: Log-probabilities `[examples, classes]` of the newest generation.
        before: The same of the generation before it.
        labels: The true classes, integers `[examples]`.
    """
    wrong = [np.asarray(logs).argmax(-1) != np.asarray(labels) for logs in (now, before)]
    _, _, high = intervals.paired_difference(*wrong)
    return bool(high < 0)


def balanced_error_improved(now: ArrayLike, before: ArrayLike, labels: ArrayLike) -> bool:
    """Returns whether the mean validation error of the classes fell, by its 95 % interval.

    Args:
        now: As for `error_improved`.
        before: As for `error_improved`.
        labels: The true classes, integers `[examples]`.
    """
    labels = np.asarray(labels)
    wrong = [np.asarray(logs).argmax(-1) != labels for logs in (now, before)]
    change = wrong[0].astype(float) - wrong[1]
    by_class = [change[labels == label] for label in np.unique(labels)]
    mean = np.mean([part.mean() for part in by_class])
    deviation = np.sqrt(np.sum([part.var() / len(part) for part in by_class])) / len(by_class)
    return bool(mean + 1.96 * deviation < 0)


def labels_improved(now: ArrayLike, before: ArrayLike, labels: ArrayLike) -> bool:
    """Returns whether the share of wrong labels fell significantly, by its 95 % interval.

    Args:
        now: Log-odds `[examples, labels]` of the newest generation.
        before: The same of the generation before it.
        labels: Zeros and ones, integers `[examples, labels]`.
    """
    wrong = [
        np.mean((np.asarray(odds) >= 0) != np.asarray(labels), axis=1) for odds in (now, before)
    ]
    return intervals.mean_interval(wrong[0] - wrong[1]).high < 0


def likelihood_improved(now: ArrayLike, before: ArrayLike) -> bool:
    """Returns whether perplexity fell significantly, by its 95 % interval.

    The interval is that of reports, a bootstrap over blocks of neighboring words.

    Args:
        now: Log-probabilities of the words of a text `[words]` by the newest generation.
        before: The same by the generation before it.
    """
    scores, reference = ({"log_probability": np.asarray(values)} for values in (now, before))
    change = tokens.change_in_perplexity(scores, reference)
    return change is not None and change["high"] < 0


def ends(improved: bool, number: int) -> bool:
    """Returns whether a lineage ends with a generation; prints a message if it does."""
    if not improved:
        print(
            f"Generation {number} is not better than generation {number - 1} on the validation "
            "data, by more than its 95 % interval: --gens=auto ends here."
        )
    return not improved
