"""Which metrics a step updates: what was not measured is not reported.

A step is traced once and run many times, so the names of its results are settled while it is
traced. Replicas are traced in threads of their own, and each keeps its own notes.
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
    """Tells whether a metric has a result to report.

    Within a step, that is whether the step updates it. Elsewhere it is whether its `count` is not
    zero; a metric without one is only required to be built.
    """
    if getattr(_trace, "updated", None) is not None:
        return id(metric) in _trace.updated
    count = getattr(metric, "count", None)
    if count is None or is_symbolic(count):
        return getattr(metric, "built", True)
    return float(keras.ops.convert_to_numpy(count)) > 0
