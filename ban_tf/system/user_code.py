"""Functions of the user's own, named as `package.module:function`.

Only what is wrong with the name is refused here. What the user's module raises while it is
imported passes with its traceback, which is what finds the mistake.
"""

from __future__ import annotations

import difflib
import importlib
import operator
import sys
from typing import Any

from ban_tf.errors import InputError


def load(name: str, given: str) -> Any:
    """Imports what a name leads to.

    Args:
        name: `package.module:function`; the function may be an attribute of another name in the
            module, as in `module:Class.method`.
        given: The argument or flag with its value, for messages.

    Raises:
        InputError: There is no such module, or nothing of that name in it.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise InputError(f"{given} must have the form package.module:function.")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Another name is missing: the user's module was there, and imports what is not.
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
    """Returns a function that a saved model names, from a module that is imported already.

    As with Keras's own registered functions, a file that is loaded does not choose which code runs.

    Args:
        name: As for `load`.
        role: The argument that it is, for messages.

    Raises:
        InputError: Its module is not imported, or there is nothing of that name in it.
    """
    module = name.partition(":")[0]
    if module not in sys.modules:
        raise InputError(f"{role} {name!r} was saved; import {module} before loading it.")
    return load(name, f"`{role}` {name!r}")


def name_of(function: Any, role: str) -> str:
    """Returns the name by which `load` finds a function.

    Args:
        function: The function.
        role: The argument that it is, for messages.

    Raises:
        InputError: No name leads to it, as to a lambda or a partial function.
    """
    name = getattr(function, "__qualname__", "<unnamed>")
    if "<" in name:
        raise InputError(
            f"`{role}` {function!r} has no name to save; give a function that is defined at the "
            "top of a module."
        )
    return f"{function.__module__}:{name}"
