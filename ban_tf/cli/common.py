"""What the side commands share: absl flags, one sentence for bad input, exit code 2.

Each command has flags of its own, apart from those of `ban_tf.main`, and can be called from
Python with a list of arguments.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence

from absl import flags

from ban_tf.errors import BanError

# Ways to ask for help; absl adds a full list of its own flags as --helpfull.
HELP = {"--help", "-help", "-h", "--helpshort", "-?"}


def run(
    name: str,
    usage: str,
    arguments: Sequence[str],
    work: Callable[[flags.FlagValues, list[str]], None],
    define: Callable[[flags.FlagValues], None] = lambda values: None,
) -> int:
    """Parses arguments, does the work, and turns our own errors into sentences.

    Args:
        name: The command, such as "ban-tf runs".
        usage: What `--help` says before it lists the flags.
        arguments: Those of the command line, without the program.
        work: Does the work, given the parsed flags and the arguments that are not flags; raises
            `InputError` for input that cannot be used.
        define: Defines the flags.

    Returns:
        The exit code: 0, or 2 for input that cannot be used.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may stand behind a run's name
    define(values)
    if HELP & set(arguments):
        print(f"{usage.strip()}\n{values.get_help()}")
        return 0
    try:
        work(values, values([name, *arguments])[1:])
    except (flags.Error, BanError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    return 0


def import_tensorflow() -> None:
    """Imports TensorFlow, which writes to standard error before it can be told not to."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        standard_error = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except Exception:
            said.seek(0)
            os.write(standard_error, said.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
