"""How a flag is declared: a field of a group of options, with its help, bounds and needs."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from ban_tf.config.needs import Need


class Flag(NamedTuple):
    """What is declared of a flag.

    Attributes:
        help: What it does; `--help` and docs/flags.md show it.
        choices: The values that it may have; empty for any of its type.
        bounds: The lowest and the highest value, inclusive.
        may_change: Whether it may change when a run is resumed, since it does not touch what the
            run computes.
        of_some_tasks: Whether only some tasks use it; see `Declaration.supports`.
        of_architecture: Whether only some architectures have it.
        needs: What it needs to do anything.
        may_be_empty: Whether an empty value takes back what a flagfile set.
    """

    help: str
    choices: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None
    may_change: bool = False
    of_some_tasks: bool = False
    of_architecture: bool = False
    needs: tuple[Need, ...] = ()
    may_be_empty: bool = False


def flag(default: Any, help: str, **declared: Any) -> Any:
    """Returns a field of a group of options.

    Args:
        default: Its value where it is not given.
        help: What it does.
        **declared: Further attributes of `Flag`.
    """
    return dataclasses.field(default=default, metadata={"flag": Flag(help, **declared)})


def declared(group: type) -> dict[str, Flag]:
    """Returns the flags of a group of options by name, in their order."""
    return {field.name: field.metadata["flag"] for field in dataclasses.fields(group)}
