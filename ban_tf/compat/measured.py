"""Records which metrics a step updates; others are not reported.

A step is traced once and run many times, so that the names of its results are fixed while it is
traced. Each replica is traced in its own thread, and has its own list.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import keras

from ban_tf.compat.tracing import is_symbolic

_trace = threading.local()


@contextlib.contextmanager
def in_step() -> Iterator[None]:
    """Starts a list of the metrics that one training or evaluation step updates."""
    before = getattr(_trace, "updated", None)
    _trace.updated = set()
    try:
        yield
    finally:
        _trace.updated = before


def note(*metrics: keras.metrics.Metric | None) -> None:
    """Adds metrics to the list of the current step; does nothing outside of one."""
    if getattr(_trace, "updated", None) is not None:
        _trace.updated.update(id(metric) for metric in metrics if metric is not None)


def updated(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric has a result to report.

    Within a step, it must be updated by the step. Elsewhere its `count` must not be zero; a metric
    without a `count` must only be built.
    """
    if getattr(_trace, "updated", None) is not None:
        return id(metric) in _trace.updated
    count = getattr(metric, "count", None)
    if count is None or is_symbolic(count):
        return getattr(metric, "built", True)
    return float(keras.ops.convert_to_numpy(count)) > 0
