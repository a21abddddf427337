"""How errors call what was given: flags on the command line, arguments in Python.

Errors of data and networks name flags. Public functions reword them for their caller, unless that
is the command line.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from ban_tf.errors import InputError

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
# Returns the argument of a flag, or None if it stays a flag.
_Namer = Callable[[str], str | None]

# None as long as neither the command line nor a public function was called.
_NAMER: contextvars.ContextVar[_Namer | None] = contextvars.ContextVar("namer", default=None)

# A flag, but no part of a value such as a path.
_FLAG = re.compile(r"(?<![^\s('\"])--([a-z]\w*)(=?)")


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Lets errors name flags, whichever public functions are called: for the command line."""
    with _named(lambda flag: None):
        yield


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Lets the public functions that custom code calls name their own arguments."""
    with _named(None):
        yield


def as_arguments(
    **renamed: str,
) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Returns a decorator of a public function, whose errors then name arguments.

    Args:
        **renamed: The arguments with another name than their flag's: `arch="name"` makes
            `name=wrn-9` of `--arch=wrn-9`. Other flags are those of the function's arguments.
    """

    def decorated(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        parameters = inspect.signature(function).parameters.values()
        known = {one.name: one.name for one in parameters} | renamed
        # Those of a dictionary have the names of flags, too.
        further = "options" in known or any(one.kind is one.VAR_KEYWORD for one in parameters)

        @functools.wraps(function)
        def calling(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
            if _NAMER.get() is not None:  # the first caller is the one that reads the error
                return function(*args, **kwargs)
            with _named(lambda flag: known.get(flag, flag if further else None)):
                try:
                    return function(*args, **kwargs)
                except InputError as error:
                    error.args = (worded(str(error)),)
                    raise

        return calling

    return decorated


def worded(text: str) -> str:
    """Returns a text that names flags with the arguments of the public function that was called."""
    namer = _NAMER.get()
    return text if namer is None else _FLAG.sub(lambda found: _argument(found, namer), text)


@contextlib.contextmanager
def _named(namer: _Namer | None) -> Iterator[None]:
    token = _NAMER.set(namer)
    try:
        yield
    finally:
        _NAMER.reset(token)


def _argument(found: re.Match[str], namer: _Namer) -> str:
    flag, equals = found.groups()
    name = namer(flag)
    if name is None:
        return found[0]
    return f"{name}=" if equals else f"`{name}`"
