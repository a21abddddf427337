"""JSON of unknown origin: parsed within bounds, and validated against a schema.

Schemas are JSON Schema (2020-12), as Python dictionaries. Numbers are stricter than there, and
three types are added:

- "integer" is a JSON integer; 1.0 is none.
- "number" is not NaN; bounds exclude the infinities.
- "real" is any number, also NaN, such as a metric that a user defined.
- "strings" is a list of strings, which is checked faster than by "items".
- "file" is the name of a file inside a folder.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jsonschema

from ban_tf.errors import CorruptFileError, InputError
from ban_tf.system import shown
from ban_tf.system.safe_files import LARGEST_TEXT

DEEPEST = 64  # lists and dictionaries inside each other
_LARGEST = 2**63  # whole numbers beyond cannot be counted with
_SHOWN = 40  # characters of a key in a message

Schema = Mapping[str, Any]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_real(value: Any) -> bool:
    return isinstance(value, float) or _is_integer(value)


def _is_file(value: Any) -> bool:
    if not isinstance(value, str) or "\\" in value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    path = pathlib.PurePosixPath(value)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


_TYPES = {
    "integer": _is_integer,
    "number": lambda value: _is_real(value) and value == value,
    "real": _is_real,
    "strings": lambda value: (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    ),
    "file": _is_file,
}
_NAMES = {
    "object": "a dictionary",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "real": "a number",
    "strings": "a list of texts",
    "file": "the name of a file inside the run",
}
_BOUNDS = {
    "minimum": "must be at least {}",
    "exclusiveMinimum": "must be more than {}",
    "maximum": "must be at most {}",
    "minItems": "must have at least {} entries",
    "maxItems": "must have at most {} entries",
    "maxLength": "must have at most {} characters",
    "const": "must be {}",
}

_checker = jsonschema.Draft202012Validator.TYPE_CHECKER
for _name, _holds in _TYPES.items():
    _checker = _checker.redefine(_name, lambda checker, value, holds=_holds: holds(value))
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_checker)


def parse(content: bytes, name: object) -> Any:
    """Returns the value of a JSON text.

    Args:
        content: The text, UTF-8.
        name: The name of the file, for messages.

    Raises:
        CorruptFileError: It is not JSON, is nested deeper than `DEEPEST`, or is longer than
            `LARGEST_TEXT`.
    """
    if len(content) > LARGEST_TEXT:
        raise CorruptFileError(f"{name} has more than {LARGEST_TEXT:,} bytes.")
    try:
        value = json.loads(content.decode())
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise CorruptFileError(f"{name} is not a JSON file: {error}.") from error
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for inner in level
            if isinstance(inner, (dict, list))
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not level:
            return value
    raise _too_deep(name)


def _too_deep(name: object) -> CorruptFileError:
    return CorruptFileError(f"{name} is nested deeper than {DEEPEST} lists or dictionaries.")


def check(
    value: Any, schema: Schema, name: object, error: type[InputError] = CorruptFileError
) -> None:
    """Checks a value against a schema.

    Args:
        value: What JSON can hold.
        schema: The schema; its keywords are checked in their order.
        name: The name of the file or argument, for messages.
        error: The class of the error.

    Raises:
        InputError: It does not fit; the message names the first entry that does not.
    """
    found = next(_Validator(schema).iter_errors(value), None)
    if found is not None:
        place = _place(found.absolute_path)
        raise error(f"{name}{f': {place}' if place else ''} {_problem(found)}.")


def read(content: bytes, schema: Schema, name: object) -> Any:
    """Returns the value of a JSON text that fits a schema; see `parse` and `check`."""
    value = parse(content, name)
    check(value, schema, name)
    return value


def _place(path: Any) -> str:
    keys = (
        f"[{key}]" if isinstance(key, int) else f".{_short(shown.escaped(key))}" for key in path
    )
    return "".join(keys).removeprefix(".")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _problem(error: jsonschema.ValidationError) -> str:
    """Returns what is wrong, without the value, which may be of any length."""
    keyword, wanted = str(error.validator), error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        return f"has an invalid entry {_short(error.instance)!r}"
    if keyword == "required":
        return f"lacks {', '.join(key for key in wanted if key not in error.instance)}"
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"must be {' or '.join(_NAMES.get(kind, kind) for kind in kinds)}"
    if keyword == "enum":
        return f"must be one of {', '.join(map(repr, wanted))}"
    if keyword in _BOUNDS:
        return _BOUNDS[keyword].format(wanted)
    if keyword == "additionalProperties":
        unknown = next(key for key in error.instance if key not in error.schema["properties"])
        return f"has an unknown entry {_short(unknown)!r}"
    return "has an invalid form"
