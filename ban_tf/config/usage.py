"""What `ban-tf train --help` shows."""

from __future__ import annotations

import textwrap
from typing import Any

from absl import flags

from ban_tf.config.flag import declared
from ban_tf.config.groups import GROUPS

_USAGE = """\
ban-tf train [--flag=value ...]          (or: python -m ban_tf.main)

Trains a network on labels (generation 0), then fresh copies of it, each distilled from earlier
generations, and averages them. The same command resumes an interrupted run.

  ban-tf train --gens=3 --arch=wrn                  # offline, two minutes on two CPU cores
  ban-tf train --dataset=cifar10 --data_dir=PATH --batch_size=128 --epochs=200
  ban-tf train --flagfile=flags/cifar100/wrn_28_10.cfg

Exit codes: 0 for success, 1 if training failed, 2 for invalid input, 129, 130 and
143 if interrupted.
ban-tf --help lists the other commands.
"""


def usage(values: flags.FlagValues) -> str:
    """Returns what `--help` shows: every flag under its heading, with its default.

    Args:
        values: Among which the flags are defined.
    """
    lines = [_USAGE]
    for group in GROUPS:
        lines.append(f"{group.HEADING}:" if group is GROUPS[0] else f"\n{group.HEADING}:")
        for name, flag in declared(group).items():
            lines += _entry(name, flag.help, values[name].default)
    lines += [
        "  --flagfile=FILE        Take flags from a file; flags/... come with the package.",
        "                         --helpfull lists absl's own, too.",
    ]
    return "\n".join(lines)


def _entry(name: str, words: str, default: Any) -> list[str]:
    if default not in (None, False):
        words = f"{words} [{default}]"
    return textwrap.wrap(words, 98, initial_indent=f"  --{name:<20} ", subsequent_indent=" " * 25)
