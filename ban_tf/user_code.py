"""Functions of the user's own, named as `package.module:function`.

Only what is wrong with the name is refused here. What the user's module raises while it is
imported passes with its traceback, which is what finds the mistake.
"""

from __future__ import annotations

import difflib
import importlib
import operator
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
