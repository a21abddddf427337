"""The errors that this package raises on purpose, to distinguish them from errors in custom code.

The command line prints exactly these as one sentence. Every other exception, such as a
`ValueError` from a custom objective, from Keras or from TensorFlow, keeps its traceback: it may
come from a mistake that only the traceback shows. So checks of the input raise `InputError`, and
never a bare `ValueError`; a test checks that.

Left out on purpose: `Interrupted`. Like every `KeyboardInterrupt`, it passes `except Exception`.
"""

from __future__ import annotations


class BanError(Exception):
    """Base class of the errors of this package; the message says what to do."""

    # AutoGraph re-raises an error of a traced function with its class only if that class has the
    # constructor of plain exceptions; otherwise it becomes a StagingError.
    __init__ = Exception.__init__


class InputError(BanError, ValueError):
    """An argument, a flag or a file is invalid; the message names it, and what would be right.

    A `ValueError`, so that code that catches those need not know of this class.
    """


class RunError(BanError, RuntimeError):
    """A run cannot continue, although its input is valid."""


class RunDirectoryError(InputError):
    """A run directory that cannot be used; the message says what to do."""


class CorruptFileError(RunDirectoryError):
    """The content of a file does not match the manifest, or is not of the file's format."""


class SaveError(RunError):
    """The disk is full or cannot be written; what was saved before is unchanged."""


class OptionsError(InputError):
    """A flag has an invalid value; the message names flag, value and remedy."""


class DivergenceError(RunError):
    """The loss or a weight became NaN or infinite."""


class ClusterError(RunError):
    """The workers of a cluster did not all start in time."""


class WorkerError(RunError):
    """The workers cannot continue together; the message says why, and what to do."""


class CustomCodeError(RuntimeError):
    """Custom code called this package wrongly. No `BanError`, so that its traceback is shown."""
