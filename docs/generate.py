"""Writes flags.md, api.md and reference.md from the definitions: `python docs/generate.py`."""

from __future__ import annotations

import dataclasses
import inspect
import math
import pathlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from absl import flags

import ban_tf
from ban_tf.cli import doctor, evaluate, export, launch, predict, reproduce, runs
from ban_tf.cli import report as report_command
from ban_tf.config import options
from ban_tf.report.table import markdown_table

FOLDER = pathlib.Path(__file__).parent
_COMMANDS = (export, predict, evaluate, report_command, runs, launch, doctor)


def flags_page() -> str:
    """Returns docs/flags.md: every flag of every command."""
    parts = [
        "# Flags",
        "Made from the definitions by `python docs/generate.py`; do not edit. Flags are given as "
        "`--name=value`, or by a file of them with `--flagfile=FILE`; files named `flags/...` come "
        "with the package.",
        "## ban-tf train",
        "The same as `python -m ban_tf.main`.",
        "Flags marked * may change when a run is resumed.",
    ]
    defined = flags.FlagValues()
    options.define_flags(defined)
    rows = []
    for field in dataclasses.fields(options.Options):
        star = " *" if options.FLAGS[field.name].may_change else ""
        default = "" if field.default is None else f"`{field.default}`"
        text = options.FLAGS[field.name].help  # absl puts the choices before it
        rows.append((f"`--{field.name}`{star}", default, _values(field.name), text))
    parts.append(_flag_table(("flag", "default", "values", "what it does"), rows))
    for module in _COMMANDS:
        values = flags.FlagValues()
        define = getattr(module, "_define", None)
        parts += [f"## {module.NAME}", f"```\n{module.USAGE.strip()}\n```"]
        if define is not None:
            define(values)
            rows = [
                (f"`--{name}`", _default(values[name]), values[name].help)
                for name in sorted(values)
            ]
            parts.append(_flag_table(("flag", "default", "what it does"), rows))
    parts += [f"## {reproduce.NAME}", *_reproduce()]
    return "\n\n".join(parts) + "\n"


def _reproduce() -> list[str]:
    """Returns the description of `ban-tf reproduce` and the table of its arguments."""
    parser = reproduce.parser()
    rows = [
        (
            f"`{(action.option_strings or [action.metavar])[-1]}`",
            f"`{action.default}`" if action.default else "",
            (action.help or "").partition(" (default:")[0],
        )
        for action in parser._actions
        if action.dest != "help"
    ]
    return [parser.description or "", _flag_table(("argument", "default", "what it does"), rows)]


def api_page() -> str:
    """Returns docs/api.md: the public names and what their docstrings say."""
    parts = ["# Library", "Made from the docstrings by `python docs/generate.py`; do not edit."]
    seen, own = set(), _documented()
    for name in sorted(ban_tf.__all__):
        thing = getattr(ban_tf, name)
        if not isinstance(thing, ModuleType):
            parts += _entry(f"ban_tf.{name}", thing, own)
            seen.add(thing)
    for name in sorted(ban_tf.__all__):
        thing = getattr(ban_tf, name)
        if isinstance(thing, ModuleType):
            parts += [f"## Module ban_tf.{name}", inspect.getdoc(thing) or ""]
            for member in _names_of(thing):
                each = getattr(thing, member)
                if (inspect.isclass(each) or inspect.isfunction(each)) and each not in seen:
                    parts += _entry(f"ban_tf.{name}.{member}", each, own)
                    seen.add(each)
    return "\n\n".join(part for part in parts if part) + "\n"


def reference_page() -> str:
    """Returns docs/reference.md: the names that the site fills with their docstrings."""
    parts = [
        "# Library",
        "From the docstrings. How these names may change: [what stays compatible](stability.md).",
    ]
    seen: set[object] = set()
    public = {name: getattr(ban_tf, name) for name in sorted(ban_tf.__all__)}
    for name, thing in public.items():
        if not isinstance(thing, ModuleType):
            parts.append(_reference(f"ban_tf.{name}", thing, level=2))
            seen.add(thing)
    for name, module in public.items():
        if isinstance(module, ModuleType):
            parts += [f"## Module ban_tf.{name}", (inspect.getdoc(module) or "").partition("\n")[0]]
            for member in _names_of(module):
                thing = getattr(module, member)
                ours = getattr(thing, "__module__", "").startswith(
                    "ban_tf."
                )  # or Keras documents it
                if (
                    ours
                    and callable(thing)
                    and hasattr(thing, "__qualname__")
                    and thing not in seen
                ):
                    parts.append(_reference(f"ban_tf.{name}.{member}", thing, level=3))
                    seen.add(thing)
    return "\n\n".join(part for part in parts if part) + "\n"


def _reference(name: str, thing: type | Callable[..., Any], level: int) -> str:
    """A directive of mkdocstrings: where a name is defined, and under which it is public."""
    home = f"{thing.__module__}.{thing.__qualname__}"
    return f"::: {home}\n    options:\n      heading: {name}\n      heading_level: {level}"


def _names_of(module: ModuleType) -> list[str]:
    """Returns the public names of a module: those of `__all__`, or else what it defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def _documented() -> set[type]:
    """The classes that have an entry of their own."""
    public = [getattr(ban_tf, name) for name in ban_tf.__all__]
    modules = [thing for thing in public if isinstance(thing, ModuleType)]
    public += [getattr(module, name) for module in modules for name in _names_of(module)]
    return {thing for thing in public if inspect.isclass(thing)}


def _members(kind: type, documented: set[type]) -> dict[str, object]:
    """The attributes of a class, and of its bases of ours that have no entry of their own."""
    bases = [
        base
        for base in kind.__mro__[1:]
        if base.__module__.startswith("ban_tf.") and base not in documented
    ]
    found: dict[str, object] = {}
    for owner in (kind, *bases):
        for name, value in vars(owner).items():
            found.setdefault(name, value)
    return found


def _entry(name: str, thing: object, documented: set[type]) -> list[str]:
    parts = [f"### {name}", f"```python\n{_signature(name, thing)}\n```", _text(thing)]
    if inspect.isclass(thing):
        for member, method in _members(thing, documented).items():
            if not member.startswith("_") and inspect.isfunction(method) and method.__doc__:
                parts += [f"```python\n{_signature(member, method)}\n```", _text(method)]
    return parts


def _signature(name: str, thing: object) -> str:
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return f"{name}(...)"  # its base's, which changes with the version of Keras
    try:
        shown = f"{name}{inspect.signature(thing)}".replace("'", "")
        return re.sub(r"<function ([\w.<>]+) at 0x[0-9a-f]+>", r"\1", shown)
    except (TypeError, ValueError):
        return name


def _text(thing: object) -> str:
    """A docstring as it stands: its own lines and indents say what belongs together."""
    text = (inspect.getdoc(thing) or "").replace("```python", "").replace("```", "")
    return f"```text\n{text.strip()}\n```" if text else ""


def _values(name: str) -> str:
    flag = options.FLAGS[name]
    if flag.choices:
        return ", ".join(f"`{choice}`" for choice in flag.choices)
    if flag.bounds:
        low, high = flag.bounds
        return f"from {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
    return ""


def _flag_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Returns a table in a division of its own, whose rows the site stacks on a phone."""
    table = markdown_table(headings, rows, texts=len(headings))
    return f'<div class="flags" markdown>\n\n{table}\n\n</div>'


def _default(flag: flags.Flag) -> str:
    return "" if flag.default is None else f"`{flag.default}`"


def pages() -> dict[str, str]:
    """Returns the pages by file name."""
    return {"flags.md": flags_page(), "api.md": api_page(), "reference.md": reference_page()}


if __name__ == "__main__":
    for file_name, content in pages().items():
        (FOLDER / file_name).write_text(content)
        print(FOLDER / file_name)
