"""Shared code of the side commands: absl flags, one sentence for bad input, exit code 2.

Each command has its own flags, separate from those of `ban_tf.main`, and can be called from
Python with a list of arguments.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from absl import flags

from ban_tf.cli import flag_errors
from ban_tf.config import flagfiles
from ban_tf.errors import BanError, InputError
from ban_tf.system import flag_names, shown

_LONGEST = 1000  # characters of a message, with a value of any length
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EPIPE}
_OUTPUT_ERRORS.add(getattr(errno, "EDQUOT", errno.ENOSPC))  # not everywhere
# Ways to ask for help; absl adds a full list of its own flags as --helpfull.
HELP = {"--help", "-help", "-h", "--helpshort", "-?"}


def run(
    name: str,
    usage: str,
    arguments: Sequence[str],
    work: Callable[[flags.FlagValues, list[str]], int | None],
    define: Callable[[flags.FlagValues], None] = lambda values: None,
) -> int:
    """Parses arguments, runs the command, and prints our own errors as sentences.

    Args:
        name: The command, such as "ban-tf runs".
        usage: The text of `--help` before the list of flags.
        arguments: The command line without the program.
        work: Runs the command, given the parsed flags and the positional arguments; returns the
            exit code, or None for 0; raises `InputError` for invalid input.
        define: Defines the flags.

    Returns:
        The exit code: that of `work`, or 2 for invalid input.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow positional arguments
    define(values)
    if HELP & set(arguments):
        print(f"{usage.strip()}\n{values.get_help()}")
        return 0
    try:
        names = values([name, *flagfiles.expand(arguments)])[1:]
        _check_not_empty(values)
        with _showing_warnings(name), flag_names.kept():
            return work(values, names) or 0
    except (flags.Error, BanError) as error:
        print_error(name, error)
        return 2
    except BrokenPipeError:
        return 1


@contextlib.contextmanager
def _showing_warnings(name: str) -> Iterator[None]:
    """Shows the package's warnings after the command, unless the caller has set up logging."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    # The package logs by Abseil; of other libraries only errors are of use.
    handler.addFilter(lambda record: record.name == "absl" or record.levelno >= logging.ERROR)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _check_not_empty(values: flags.FlagValues) -> None:
    for name in values:
        if values[name].present and values[name].value == "":
            raise InputError(f"--{name} is empty; give it a value, or leave it out.")


def print_error(name: str, error: BaseException | str) -> None:
    """Prints an error of a command in one line; `name` is the command."""
    text = shown.escaped(f"{name}: {flag_errors.describe(error)}")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    print(text, file=sys.stderr)


def print_note(sentence: str) -> None:
    """Prints a sentence beside the output of a command, which may be read by a program."""
    print(shown.escaped(sentence), file=sys.stderr)


@contextlib.contextmanager
def writing_output(name: str) -> Iterator[None]:
    """Ends the process in one sentence, with code 1, if standard output cannot be written.

    Args:
        name: The command.

    Raises:
        SystemExit: The disk is full, or the reader of the output has gone.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        # Errors of files have a name, or are already converted.
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise
        with (
            contextlib.suppress(OSError, ValueError),
            pathlib.Path(os.devnull).open("w") as nowhere,
        ):
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # for what is left in the buffer
        print_error(name, f"the output cannot be written ({error.strerror}).")
        sys.exit(1)


def allow_any_text() -> None:
    """Prints characters that the locale lacks as escapes, rather than raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def import_backend() -> None:
    """Imports Keras and its backend, and silences what TensorFlow prints to stderr on import.

    Raises:
        InputError: The backend is not installed.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with silenced():
            importlib.import_module("keras")
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "jax", "torch"):
            raise
        other = "jax" if error.name == "tensorflow" else "tensorflow"
        raise InputError(
            f"Keras's backend {error.name} is not installed: install it, or set "
            f"KERAS_BACKEND={other}."
        ) from error


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keeps from the screen what libraries print to stderr, unless they raise an error."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        standard_error = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception:
            said.seek(0)
            os.write(standard_error, said.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
