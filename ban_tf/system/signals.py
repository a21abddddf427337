"""Defers Ctrl-C, SIGTERM and SIGHUP until the state of a training is saved.

The first signal is handled at the end of the current step. The second one stops the process
immediately; only a further SIGHUP does not, as a terminal that is closed sends several.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
_PATIENCE = 2.0  # seconds after which `Interrupted` is raised again if it was swallowed


class Interrupted(KeyboardInterrupt):
    """A signal requested the process to stop.

    Attributes:
        signal_number: The signal.
        saved: How far everything is saved, as text; empty if the signal was not deferred.
    """

    def __init__(self, signal_number: int, saved: str = ""):
        super().__init__(saved)
        self.signal_number = signal_number
        self.saved = saved


def handled() -> list[int]:
    """Returns the signals that stop a training: not SIGHUP where it is ignored, as by `nohup`."""
    found: list[int] = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        found.append(_HANGUP)
    return found


class StopRequest:
    """Whether a signal was received."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def share(self, ending: bool) -> bool:
        """Shares the request, and whether a callback ends the training, with all workers.

        Args:
            ending: Whether a callback of this process ends the training.

        Returns:
            Whether a callback of any worker does; here of the only one.
        """
        return ending


# The former handler of SIGALRM, while `raise_interrupt` uses it.
_former: list[Any] = []


def raise_interrupt(signal_number: int, frame: object = None) -> None:
    """A signal handler that raises `Interrupted` repeatedly until `cancel_alarm` is called.

    Raising once is not enough: Python ignores exceptions in destructors, and some libraries
    swallow all exceptions, mostly on import.
    """
    if hasattr(signal, "setitimer"):  # not on Windows
        former = signal.signal(signal.SIGALRM, lambda *_: raise_interrupt(signal_number))
        if not _former:
            _former.append(former or signal.SIG_DFL)  # None: not set from Python
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    raise Interrupted(signal_number)


def cancel_alarm() -> None:
    """Stops `raise_interrupt` from raising again."""
    if _former:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, _former.pop())


def unraisable_hook(unraisable: Any) -> None:
    """For `sys.unraisablehook`: ignores `Interrupted` in destructors, since it is raised again."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def defer_signals() -> Iterator[StopRequest]:
    """Defers the first signal inside the block.

    The block checks the yielded `StopRequest` and raises `Interrupted` when everything is saved;
    otherwise it is raised at the end of the block. Outside the main thread, where Python handles
    no signals, none is deferred.
    """
    requests = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def note(signal_number: int, frame: object) -> None:
        if requests and signal_number == _HANGUP:
            return
        if requests:
            raise_interrupt(signal_number)
        requests.signal_number = signal_number

    before = {number: signal.signal(number, note) for number in handled()}
    try:
        yield requests
    finally:
        cancel_alarm()
        for number, handler in before.items():
            # None: the handler was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if requests.signal_number is not None:
        raise Interrupted(requests.signal_number)
