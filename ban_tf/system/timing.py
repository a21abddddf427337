"""How long something takes, so often that single delays do not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

_WARM_UP, _TIMED = 5, 30  # calls


def median_milliseconds(call: Callable[[], Any]) -> float:
    """Returns the median time of a call, after some that are not measured."""
    seconds = []
    for _ in range(_WARM_UP + _TIMED):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[_WARM_UP:])
