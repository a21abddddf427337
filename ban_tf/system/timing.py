"""How long something takes, where other processes may take their share of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_CALLS, _SECONDS = 300, 2.0  # at most; the first calls are slow, and do not count


def shortest_milliseconds(call: Callable[[], Any]) -> float:
    """Returns the shortest time of many calls, which other processes delay least."""
    call()
    shortest, end = float("inf"), time.perf_counter() + _SECONDS
    for _ in range(_CALLS):
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        shortest = min(shortest, now - start)
        if now > end:
            break
    return 1000 * shortest
