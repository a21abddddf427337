"""Messages of Abseil's flags, as sentences that name the flag and what is right."""

from __future__ import annotations

import re

from absl import flags

# Abseil's complaints about a value, and what such a value must be.
_VALUES = {
    r"invalid literal for int.*": "a whole number",
    r"could not convert string to float.*": "a number",
    r"\('Non-boolean.*": "true or false",
    r"\S+ is not an? (?:integer|number) in the range \[(?P<low>.*), (?P<high>.*)\]": (
        r"between \g<low> and \g<high>"
    ),
    r"\S+ is not a positive integer": "at least 1",
    r"\S+ is not a non-negative (?:integer|number)": "at least 0",
    r"value should be one of <(?P<choices>.*)>": r"\g<choices>",
}
# Abseil's other messages, and sentences in their place.
_MESSAGES = {
    r"Unknown command line flag '(.*)'\. Did you mean: (\w+).*": (
        r"There is no flag --\1; did you mean --\2?"
    ),
    r"Unknown command line flag '(.*)'": r"There is no flag --\1.",
    r"Missing value for flag (.*)": r"\1 needs a value.",
    r"flag .*: Flag (.*) must have a value other than None\.": r"\1 must be given.",
}


def describe(error: BaseException | str) -> str:
    """Returns the message of an error as a sentence; one that is not Abseil's, unchanged."""
    text = str(error)
    if not isinstance(error, flags.Error):
        return text
    for pattern, sentence in _MESSAGES.items():
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return found.expand(sentence)
    for pattern, must in _VALUES.items():
        if found := re.fullmatch(rf"flag (?P<given>--\w+=.*?): {pattern}", text, re.DOTALL):
            others, _, last = found.expand(must).rpartition("|")
            must = f"{others.replace('|', ', ')} or {last}" if others else last
            return f"{found['given']} must be {must}."
    return text
