"""Randomness that is derived, not carried.

Every draw of a run (initial weights, shuffling, augmentation, permutation) comes
from the run's one seed and the place where it is needed: which generation, which
epoch, which step. A run that is resumed therefore draws what it would have drawn,
and nothing about randomness has to be saved.
"""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Iterator

import numpy as np


def derive_seed(seed: int, *place: int | str) -> int:
    """Returns the seed that belongs to one place in a run.

    Args:
        seed: The seed of the whole run, not negative.
        *place: What the seed is for, for example `"shuffle", generation, epoch`.

    Returns:
        An integer in [0, 2**31), different (with overwhelming probability) for different
        places and the same in every process and on every machine.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0] >> 1)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes unseeded Keras and NumPy draws inside the block follow `seed`.

    Keras takes the default seed of an initialiser or a dropout layer from Python's
    `random`; the states of `random` and of `numpy.random` are put back afterwards, so that
    a caller's own draws are left alone.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
