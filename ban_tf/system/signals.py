"""Ctrl-C and SIGTERM, put off until the state of a training can be saved.

The first one is noted and answered at the end of the step under way. The second one stops at
once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 2.0  # seconds in which an exception should have come where it is answered


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to stop.

    Attributes:
        signal_number: Which one.
        saved: Up to where everything is saved, in words; empty if the signal was not put off.
    """

    def __init__(self, signal_number: int, saved: str = ""):
        super().__init__(saved)
        self.signal_number = signal_number
        self.saved = saved


class Requests:
    """Tells whether a signal has come."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None


# Who handled SIGALRM before `stop_at_once` came to use it, as long as it does.
_former: list[Any] = []


def stop_at_once(signal_number: int, frame: object = None) -> None:
    """A signal handler that raises `Interrupted`, again and again until `answered` is called.

    Once is not enough: an exception in a destructor is ignored by Python, and libraries have
    places, mostly where they are imported, that go on whatever was raised.
    """
    if hasattr(signal, "setitimer"):  # not on Windows
        former = signal.signal(signal.SIGALRM, lambda *_: stop_at_once(signal_number))
        if not _former:
            _former.append(former or signal.SIG_DFL)  # None: not set from Python
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    raise Interrupted(signal_number)


def answered() -> None:
    """Says that what `stop_at_once` raised, if it did, has come where it was to come."""
    if _former:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, _former.pop())


def tell_unraisable(unraisable: Any) -> None:
    """For `sys.unraisablehook`: what was raised in a destructor, unless it comes again anyway."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def postponed() -> Iterator[Requests]:
    """Notes the first signal inside the block instead of acting on it.

    Whoever enters the block looks at what it yields and raises `Interrupted` when all is saved;
    what nobody has answered by the end of the block is raised there. Outside the main thread,
    where Python handles no signals, nothing is ever noted.
    """
    requests = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def note(signal_number: int, frame: object) -> None:
        if requests:
            stop_at_once(signal_number)
        requests.signal_number = signal_number

    before = {each: signal.signal(each, note) for each in SIGNALS}
    try:
        yield requests
    finally:
        answered()
        for each, handler in before.items():
            # None stands for a handler that was not set from Python.
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
    if requests.signal_number is not None:
        raise Interrupted(requests.signal_number)
