"""Text for the screen, reports and the shell: control characters in names do nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

# Control characters, separators of lines, direction marks, the byte order mark, and lone
# surrogates: those from U+DC80 on stand for bytes of a file name that are not UTF-8.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def escaped(text: object, keep: str = "") -> str:
    r"""Returns a text with control characters and direction marks as escapes, such as `\u202e`.

    Args:
        text: The text, or an object that is shown as one.
        keep: Characters that are unchanged, such as a line feed.
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), str(text))


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 epoch", "2 epochs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def number(value: float) -> str:
    """Returns a number for the screen, with enough digits to tell seconds since 1970 apart."""
    return f"{value:.10g}"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its representation if there is none."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def command(arguments: Iterable[str]) -> str:
    """Returns a command that can be pasted into a shell; it has one line and no hidden character.

    Args:
        arguments: The program and its arguments.
    """
    return " ".join(map(_quoted, arguments))


def _quoted(argument: str) -> str:
    if not _HIDDEN.search(argument):
        return shlex.quote(argument)
    # The shells bash, zsh and ksh read escapes within $'...'.
    plain = argument.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{escaped(plain)}'"
