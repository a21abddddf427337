"""`ban-tf VERB`: one command, with a module for each verb.

A verb's module is imported when it is used, so that `--help` answers at once.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from ban_tf.cli import common

# What each verb does; its module has the same name.
VERBS = {
    "train": "train generations, or resume a run (also python -m ban_tf.main)",
    "runs": "list runs, their state, and the command that resumes each",
    "report": "write the report of a run again, or compare several runs",
    "predict": "classify images with a run's models",
    "evaluate": "score a run's models on another data set",
    "export": "write a model for serving: SavedModel, Keras, LiteRT or ONNX",
    "launch": "train with several worker processes on this machine",
    "reproduce": "train and list the rows of the paper's tables",
}


def usage() -> str:
    """Returns what `ban-tf --help` prints: a line for each verb."""
    lines = [f"  {verb:<10} {words}" for verb, words in VERBS.items()]
    return "\n".join(
        [
            "ban-tf VERB [--flag=value ...]\n",
            "Born-Again Networks for Keras: train generations, then use them.\n",
            *lines,
            "\nEach has a --help of its own. Without a verb, flags are those of train.",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    """Runs a verb.

    Args:
        arguments: The command line without the program: the verb, then what belongs to it.

    Returns:
        The exit code: 0, or 2 if there is no such verb; else that of the verb.
    """
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if not arguments or verb in common.HELP or verb == "help":
        print(usage())
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
    sys.path.insert(0, "")  # so that --arch=my_module:build finds my_module.py, as with -m
    sys.exit(main(sys.argv[1:]))
