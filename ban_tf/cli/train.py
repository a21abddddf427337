"""`ban-tf train --gens=3 --arch=wrn`: trains the generations that the flags describe.

Exit codes: 0 when all is done, 1 when training failed, 2 for input that cannot be used, 75 when
another worker is gone, 130 and 143 when interrupted. Our own errors are one sentence each; those
of a user's own code, of Keras and of TensorFlow keep their traceback, and end with code 1.
"""

from __future__ import annotations

import importlib
import logging as standard_logging
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags, logging

from ban_tf.cli import common as command
from ban_tf.cli import repetitions
from ban_tf.config import options as options_module
from ban_tf.config import usage
from ban_tf.errors import BanError, InputError
from ban_tf.system import signals

options_module.define_flags()


def _main(arguments: list[str]) -> int:
    for each in signals.SIGNALS:
        signal.signal(each, signals.stop_at_once)
    sys.unraisablehook = signals.tell_unraisable
    try:
        if len(arguments) > 1:
            raise options_module.OptionsError(
                f"{arguments[1]!r} is not a flag; flags look like --gens=3."
            )
        options = options_module.from_flags(flags.FLAGS)
        if options.arch == "wrn-16-1" and flags.FLAGS["arch"].value == "wrn":
            print("--arch=wrn means wrn-16-1.")
        if not options.tensorflow_log:
            _quieten()
            command.import_tensorflow()
        # Once the flags are known to be good.
        runner = importlib.import_module("ban_tf.tasks.runner")
        if options.seeds > 1:
            repetitions.run(options, runner.run)
        else:
            runner.run(options)
    except InputError as error:
        print(f"ban-tf: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        signals.answered()
        saved = getattr(error, "saved", "") or "up to the last finished epoch"
        print(
            f"\nban-tf: interrupted; all is saved {saved}; the same command goes on from there.",
            file=sys.stderr,
        )
        return 128 + getattr(error, "signal_number", signal.SIGINT)
    except BanError as error:
        print(f"ban-tf: {error}", file=sys.stderr)
        return 1
    return 0


def _quieten() -> None:
    """Lets through what a user has to know, without the place in the code that it comes from."""
    if not flags.FLAGS["verbosity"].present:  # absl has made INFO of its default by now
        logging.set_verbosity(logging.WARNING)
    standard_logging.getLogger("tensorflow").setLevel(standard_logging.ERROR)
    logging.get_absl_handler().setFormatter(standard_logging.Formatter("ban-tf: %(message)s"))


def _parse(arguments: list[str]) -> list[str]:
    if command.HELP & set(arguments):
        print(usage.usage(flags.FLAGS))
        sys.exit(0)
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"ban-tf: {error}", file=sys.stderr)
        sys.exit(2)


def main(arguments: Sequence[str]) -> NoReturn:
    """Trains as the flags say, and ends the process with the exit code.

    Args:
        arguments: The command line without the program.
    """
    app.run(_main, argv=["ban-tf train", *arguments], flags_parser=_parse)
    raise AssertionError("app.run ends the process")
