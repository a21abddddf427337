"""Flags that would do nothing in a run. One that is given is refused; defaults never are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ban_tf.config import needs, registry
from ban_tf.config.flag import declared
from ban_tf.config.groups import GROUPS
from ban_tf.config.needs import ONLINE, Need

if TYPE_CHECKING:
    from ban_tf.config.options import Options

_FLAGS = {name: flag for group in GROUPS for name, flag in declared(group).items()}
# Flags that only some tasks use; see `Declaration.supports`.
TASK_FLAGS = tuple(name for name, flag in _FLAGS.items() if flag.of_some_tasks)
NEEDS = {
    name: (*((needs.of_task(name),) if flag.of_some_tasks else ()), *flag.needs)
    for name, flag in _FLAGS.items()
}


def needs_online(options: Options) -> str | None:
    """Returns the first flag that needs an online teacher, if one is set."""
    return next((name for name in ONLINE if getattr(options, name)), None)


def idle(options: Options, names: Iterable[str]) -> dict[str, Need]:
    """Returns the flags without effect, each with its first unmet requirement.

    Args:
        options: All options, with names resolved.
        names: The flags to check.
    """
    unmet = {name: [need for need in NEEDS[name] if not need.met(options)] for name in names}
    return {name: needs[0] for name, needs in unmet.items() if needs}


def reason(options: Options, name: str, need: Need) -> str:
    """Returns why a flag has no effect, and what it is for."""
    if getattr(options, need.flag) is None:
        return f"{written(name, getattr(options, name))} does nothing without --{need.flag}"
    because = f", as it is for {need.belongs_to}"
    if not need.belongs_to:
        because = f": {registry.of(options.dataset).reason(name)}"
    return (
        f"{written(name, getattr(options, name))} does nothing with "
        f"{written(need.flag, getattr(options, need.flag))}{because}"
    )


def written(name: str, value: Any) -> str:
    """Returns a flag as on the command line: `--name=value`."""
    return f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
