"""Derives the seed of every random draw from the seed of the run.

Every draw (initial weights, shuffling, augmentation, permutation) depends only on
the run's seed and on its purpose, generation, epoch and step. A resumed run
therefore draws the same values as an uninterrupted one, and no random state has to
be saved.
"""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Iterator

import numpy as np


def derive_seed(seed: int, *key: int | str) -> int:
    """Returns the seed for one purpose in a run.

    Args:
        seed: The seed of the whole run, not negative.
        *key: The purpose, for example `"shuffle", generation, epoch`.

    Returns:
        An integer in [0, 2**31), different (with overwhelming probability) for different
        keys, and the same in every process and on every machine.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0] >> 1)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Makes unseeded Keras and NumPy draws inside the block follow `seed`.

    Keras draws the default seed of an initializer or a dropout layer from Python's
    `random`; the states of `random` and of `numpy.random` are restored afterwards, so that
    the caller's draws are unchanged.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
