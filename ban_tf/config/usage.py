"""What `ban-tf train --help` shows."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from ban_tf.config import registry
from ban_tf.config.flag import declared
from ban_tf.config.groups import GROUPS

_USAGE = """\
ban-tf train [--flag=value ...]          (or: python -m ban_tf.main)

Trains a network on labels (generation 0), then fresh copies of it, each distilled from earlier
generations, and averages them. The same command resumes an interrupted run.

  ban-tf train --gens=3 --arch=wrn                  # offline, two minutes on two CPU cores
  ban-tf train --dataset=cifar10 --data_dir=PATH --batch_size=128 --epochs=200
  ban-tf train --flagfile=flags/cifar100/wrn_28_10.cfg

Exit codes: 0 for success, 1 if training failed, 2 for invalid input, 75 if another
worker failed, 129, 130 and 143 if interrupted.
ban-tf --help lists the other commands.
"""


def usage(values: flags.FlagValues, arguments: Sequence[str] = ()) -> str:
    """Returns what `--help` shows: every flag under its heading, with its default.

    Args:
        values: Among which the flags are defined.
        arguments: The command line. With --dataset, the flags are those of its task, with the
            defaults of that.

    Raises:
        InputError: The task of the dataset cannot be loaded.
    """
    dataset = _dataset(arguments)
    task = None if dataset is None else registry.of(dataset)
    defaults = {} if task is None else task.defaults
    lines = [_USAGE]
    if task is not None:
        kind = task.name.replace("_", " ")
        lines.append(f"Flags for --dataset={dataset} ({kind}); --help alone lists all.\n")
    for group in GROUPS:
        shown = {
            name: flag
            for name, flag in declared(group).items()
            if task is None or not flag.of_some_tasks or name in task.supports
        }
        if shown:
            lines.append(f"{group.HEADING}:" if group is GROUPS[0] else f"\n{group.HEADING}:")
        for name, flag in shown.items():
            lines += _entry(name, flag.help, defaults.get(name, values[name].default))
    lines += [
        "  --flagfile=FILE        Take flags from a file; flags/... come with the package.",
        "                         --helpfull lists absl's own, too.",
    ]
    return "\n".join(lines)


def _dataset(arguments: Sequence[str]) -> str | None:
    """Returns the value of the last --dataset, which is not parsed: others may be wrong."""
    found = None
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "dataset":
            found = value if equals else following
    return found or None


def _entry(name: str, words: str, default: Any) -> list[str]:
    if default not in (None, False):
        words = f"{words} [{default}]"
    return textwrap.wrap(words, 98, initial_indent=f"  --{name:<20} ", subsequent_indent=" " * 25)
