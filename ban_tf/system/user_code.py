"""Imports custom functions named as `package.module:function`.

Only mistakes in the name raise an `InputError`. Errors of the custom module during its import keep
their traceback, which shows the mistake.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import operator
import sys
from collections.abc import Callable
from typing import Any

from ban_tf.errors import InputError


def check_name(name: str, given: str) -> None:
    """Checks that a name has the form of a function's name; nothing is imported.

    Args:
        name: As for `load`.
        given: As for `load`.

    Raises:
        InputError: It has not.
    """
    module, colon, path = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *path.split("."))):
        raise InputError(f"{given} must have the form package.module:function.")


def load(name: str, given: str) -> Any:
    """Imports the function of a name.

    Args:
        name: `package.module:function`; the function may be an attribute of another name in the
            module, as in `module:Class.method`.
        given: The argument or flag with its value, for messages.

    Raises:
        InputError: The module does not exist, or has no such function.
    """
    check_name(name, given)
    module_name, _, path = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The custom module exists, but one of its imports does not.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise InputError(f"{given}: there is no module {error.name} to import.") from error
    try:
        return operator.attrgetter(path)(module)
    except AttributeError as error:
        close = difflib.get_close_matches(path, dir(module), n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"{given}: {module_name} has no {path}{hint}") from error


def load_imported(name: str, role: str) -> Any:
    """Returns a function of a saved model, from a module that is already imported.

    As with functions registered with Keras, a loaded file does not choose which code is imported.

    Args:
        name: As for `load`.
        role: The argument, for messages.

    Raises:
        InputError: Its module is not imported, or has no such function.
    """
    module = name.partition(":")[0]
    if module not in sys.modules:
        raise InputError(f"{role} {name!r} was saved; import {module} before loading it.")
    return load(name, f"`{role}` {name!r}")


def takes(function: Callable[..., Any], count: int) -> bool:
    """Returns whether a function can be called with so many arguments by position."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def name_of(function: Any, role: str) -> str:
    """Returns the name for which `load` returns a function.

    Args:
        function: The function.
        role: The argument, for messages.

    Raises:
        InputError: It has no name, such as a lambda or a partial function.
    """
    name = getattr(function, "__qualname__", "<unnamed>")
    if "<" in name:
        raise InputError(
            f"`{role}` {function!r} has no name to save; give a function that is defined at the "
            "top of a module."
        )
    return f"{function.__module__}:{name}"
