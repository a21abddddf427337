"""Checks of arguments of any function, with one sentence per mistake."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.errors import InputError


def is_integer(value: Any) -> bool:
    """Returns whether a value is an integer of Python or NumPy; True and 2.0 are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Returns whether a value is a real number of Python or NumPy; True is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_flag(name: str, value: Any) -> bool:
    """Returns an argument that is True or False as a bool.

    Raises:
        InputError: It is neither.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"`{name}` must be True or False. Received: {value!r}")
    return bool(value)


def check_count(name: str, value: Any, least: int) -> int:
    """Returns an integer argument of at least `least`; True and 2.0 are not accepted.

    Raises:
        InputError: It is not.
    """
    if not is_integer(value) or value < least:
        raise InputError(f"`{name}` must be an integer of at least {least}. Received: {value!r}")
    return int(value)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Checks an argument that is one of a few values.

    Raises:
        InputError: It is not.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *others, last = map(repr, choices)
        raise InputError(f"`{name}` must be {', '.join(others)} or {last}. Received: {value!r}")
