"""What the code of Python functions consists of, in forms that JSON can hold."""

from __future__ import annotations

import hashlib
import types
from typing import Any


def functions_of(attribute: Any) -> list[types.FunctionType]:
    """Returns the functions of a class attribute."""
    if isinstance(attribute, property):
        attribute = [attribute.fget, attribute.fset]
    elif isinstance(attribute, (staticmethod, classmethod)):
        attribute = [attribute.__func__]
    elif isinstance(attribute, types.FunctionType):
        attribute = [attribute]
    else:
        return []
    return [item for item in attribute if isinstance(item, types.FunctionType)]


def describe(code: types.CodeType) -> list[Any]:
    """Returns the hash of the bytecode, the names in it and its constants, without line numbers."""
    constants = [
        describe(item)
        if isinstance(item, types.CodeType)
        else sorted(map(repr, item))
        if isinstance(item, frozenset)
        else repr(item)
        for item in code.co_consts
    ]
    return [hashlib.sha256(code.co_code).hexdigest(), list(code.co_names), constants]


def names_read(code: types.CodeType) -> set[str]:
    """Returns the names that a function and its nested functions read."""
    inner = (item for item in code.co_consts if isinstance(item, types.CodeType))
    return set(code.co_names).union(*map(names_read, inner))


def content_of(cell: Any) -> Any:
    """Returns what a cell of a closure holds; None if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
