"""`ban-tf VERB`: one command, with a module per verb.

A verb's module is only imported when it is used, so that `--help` is fast.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from ban_tf.cli import common

# Descriptions of the verbs; the modules have the same names.
VERBS = {
    "train": "train generations, or resume a run (also python -m ban_tf.main)",
    "runs": "list runs, their state, and the command that resumes each",
    "report": "write the report of a run again, or compare several runs",
    "predict": "predict for images, texts or tables with a run's models",
    "evaluate": "evaluate a run's models on another dataset",
    "export": "write a model for serving: SavedModel, Keras, LiteRT or ONNX",
    "launch": "train with several worker processes on this machine",
    "reproduce": "train and list the rows of the paper's tables",
    "doctor": "print versions, devices and free memory, and what is missing here",
}


# What `ban-tf` alone shows before the verbs.
_FIRST_STEPS = """\
To begin, offline and in less than two minutes on two CPU cores:
  ban-tf train --gens=3 --arch=wrn
It ends with a table and the path of its report.html. `ban-tf doctor` checks
this machine; `ban-tf train --dataset=folder:PATH` takes images of your own.
"""


def usage() -> str:
    """Returns the text of `ban-tf --help`: a line per verb."""
    lines = [f"  {verb:<10} {description}" for verb, description in VERBS.items()]
    return "\n".join(
        [
            "ban-tf VERB [--flag=value ...]\n",
            "Born-Again Networks for Keras: train generations, then use them.\n",
            *lines,
            "\nEach verb has its own --help. Without a verb, the flags are those of train.",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Runs a verb.

    Args:
        arguments: The command line without the program: the verb, then its arguments.

    Returns:
        The exit code: that of the verb, or 2 if there is no such verb.
    """
    common.allow_any_text()
    with common.writing_output("ban-tf"):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if not arguments or verb in common.HELP or verb == "help":
        print(usage() if arguments else f"{_FIRST_STEPS}\n{usage()}")
        return 0
    if verb.startswith("-"):
        verb, rest = "train", list(arguments)
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(VERBS)}."
        print(f"ban-tf: {verb!r} is not a verb; {hint}", file=sys.stderr)
        return 2
    return importlib.import_module(f"ban_tf.cli.{verb}").main(rest)


def cli() -> None:
    """The console script `ban-tf`."""
    sys.path.insert(0, "")  # so that --arch=my_module:build finds my_module.py, as with python -m
    sys.exit(main(sys.argv[1:]))
