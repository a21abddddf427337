"""Flagfiles: those of the user, and those that come with the package, named `flags/...`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

import ban_tf
from ban_tf.errors import InputError
from ban_tf.system import safe_files

_DIRECTIVES = ("--flagfile", "-flagfile")
_FOLDER = "flags"


def bundled() -> pathlib.Path:
    """Returns the folder `flags`: inside the installed package, or beside it in a source tree."""
    package = pathlib.Path(ban_tf.__file__).parent
    inside = package / _FOLDER
    return inside if inside.is_dir() else package.parent / _FOLDER


def expand(
    arguments: Sequence[str], inside: tuple[pathlib.Path, ...] = (), from_package: bool = False
) -> list[str]:
    """Returns arguments with the lines of flagfiles in place of `--flagfile=NAME`.

    A name that begins with `flags/` is looked up in this folder first, then in the package.

    Args:
        arguments: Flags, or the lines of a flagfile.
        inside: The flagfiles that lead to these lines; none of them is read again.
        from_package: Whether these lines are those of a flagfile of the package, which names others
            of the package.

    Raises:
        InputError: One is missing, or is something else than text, such as a pipe.
    """
    expanded: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        flag, given, name = argument.strip().partition("=")
        if argument == "--":
            return [*expanded, argument, *remaining]
        if flag not in _DIRECTIVES:
            expanded.append(argument)
            continue
        if not given:
            following = next(remaining, None)
            if following is None:
                expanded.append(argument)  # absl names what is missing
                break
            name = following
        path, packaged = _find(name.strip(), from_package)
        if name and path not in inside:
            lines = list(_lines(path, name))
            expanded += expand(lines, (*inside, path), packaged)
    return expanded


def _find(name: str, from_package: bool) -> tuple[pathlib.Path, bool]:
    """Returns the path of a flagfile, and whether it is one of the package."""
    if pathlib.PurePath(name).parts[:1] == (_FOLDER,):
        path = bundled().parent / name
        # Path.is_file raises for names that are too long.
        if os.path.isfile(path) and (from_package or not os.path.lexists(name)):  # noqa: PTH113
            return path, True
    try:
        return pathlib.Path(name).expanduser(), False
    except RuntimeError:  # there is no such user
        return pathlib.Path(name), False


def _lines(path: pathlib.Path, name: str) -> Iterator[str]:
    """Yields the lines of a flagfile without blank ones and comments."""
    try:
        with safe_files.open_below(path) as file:
            text = file.read(safe_files.LARGEST_TEXT).decode()
    except (OSError, ValueError) as error:
        reason = safe_files.reason(error, "it is not text")
        raise InputError(f"--flagfile={name} cannot be read ({reason}).") from error
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith(("#", "//")):
            yield line
