"""`ban-tf train --gens=3 --arch=wrn`: trains the generations that the flags describe.

Exit codes: 0 for success, 1 if training failed, 2 for invalid input, 75 if another worker failed,
129 (SIGHUP), 130 (Ctrl-C) and 143 (SIGTERM) if interrupted. Our own errors are printed as one
sentence; those of custom code, of Keras and of TensorFlow keep their traceback, and end with
code 1.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging as standard_logging
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags, logging

from ban_tf.cli import common as command
from ban_tf.cli import seed_sweep, student_sweep
from ban_tf.config import flagfiles, usage
from ban_tf.config import options as options_module
from ban_tf.errors import BanError, InputError
from ban_tf.system import flag_names, signals

options_module.define_flags()


@flag_names.kept()
def _main(arguments: list[str]) -> int:
    for number in signals.handled():
        signal.signal(number, signals.raise_interrupt)
    sys.unraisablehook = signals.unraisable_hook
    try:
        options = checked(arguments, flags.FLAGS)
        if options.arch == "wrn-16-1" and flags.FLAGS["arch"].value == "wrn":
            print("--arch=wrn means wrn-16-1.")
        if not options.tensorflow_log:
            _quieten()
            command.import_backend()
        # Only after the flags are checked.
        runner = importlib.import_module("ban_tf.tasks.runner")
        if len(options.students) > 1:  # also for several seeds
            student_sweep.run(options, functools.partial(runner.run, nested=True))
        elif options.seeds > 1:
            seed_sweep.run(options, runner.run)
        else:
            runner.run(options)
    except InputError as error:
        command.print_error("ban-tf", error)
        return 2
    except KeyboardInterrupt as error:
        signals.cancel_alarm()
        saved = getattr(error, "saved", "") or "up to the last finished epoch"
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(
                f"\nban-tf: interrupted; all is saved {saved}; the same command resumes from "
                "there.",
                file=sys.stderr,
                flush=True,
            )
        return 128 + getattr(error, "signal_number", signal.SIGINT)
    except BanError as error:
        command.print_error("ban-tf", error)
        return 1
    return 0


def _quieten() -> None:
    """Shows warnings only, without file and line prefixes."""
    if not flags.FLAGS["verbosity"].present:  # absl has changed its default to INFO by now
        logging.set_verbosity(logging.WARNING)
    standard_logging.getLogger("tensorflow").setLevel(standard_logging.ERROR)
    logging.get_absl_handler().setFormatter(standard_logging.Formatter("ban-tf: %(message)s"))


def checked(arguments: Sequence[str], values: flags.FlagValues) -> options_module.Options:
    """Returns the options of a command line.

    Args:
        arguments: What was left of the command line when its flags were parsed.
        values: The flags.

    Raises:
        OptionsError: There is an argument that is not a flag, or a value is invalid.
    """
    if len(arguments) > 1:
        raise options_module.OptionsError(
            f"{arguments[1]!r} is not a flag; flags look like --gens=3."
        )
    return options_module.from_flags(values)


def parse(arguments: list[str], values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses the flags of a command line, and returns the other arguments.

    Args:
        arguments: The command line with the program.
        values: The flags.

    Raises:
        SystemExit: A flag is unknown or of another type, a flagfile cannot be read, or the help was
            printed.
    """
    try:
        given = flagfiles.expand(arguments)
        if command.HELP & set(given):
            print(usage.usage(values, given[1:]))
            sys.exit(0)
        return values(given)
    except (flags.Error, InputError) as error:
        command.print_error("ban-tf", error)
        sys.exit(2)


def main(arguments: Sequence[str]) -> NoReturn:
    """Trains as configured by the flags, and ends the process with the exit code.

    Args:
        arguments: The command line without the program.
    """
    command.allow_any_text()
    with command.writing_output("ban-tf"):
        app.run(_main, argv=["ban-tf train", *arguments], flags_parser=parse)
    raise AssertionError("app.run ends the process")
