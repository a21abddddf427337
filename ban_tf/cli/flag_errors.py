"""Messages of Abseil's flags in plain words."""

from __future__ import annotations

import re

from absl import flags

# Abseil's message for a value of another type.
_OTHER_TYPE = re.compile(
    r"flag (?P<given>--\w+=.*?): (?:(?P<whole>invalid literal for int)"
    r"|(?P<number>could not convert string to float)|(?P<switch>\('Non-boolean)"
    r"|value should be one of <(?P<choices>.*)>).*",
    re.DOTALL,
)
_MUST_BE = {"whole": "a whole number", "number": "a number", "switch": "true or false"}


def describe(error: BaseException | str) -> str:
    """Returns the message of an error, with the flag, its value and what it must be."""
    text = str(error)
    found = _OTHER_TYPE.fullmatch(text) if isinstance(error, flags.IllegalFlagValueError) else None
    if found is None:
        return text
    *others, last = (found["choices"] or "").split("|")
    must = next((words for kind, words in _MUST_BE.items() if found[kind]), None)
    must = must or f"{', '.join(others)} or {last}"
    return f"{found['given']} must be {must}."
