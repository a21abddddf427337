"""The errors that this package raises on purpose, apart from those of a user's own code.

The command line turns exactly these into one sentence. Every other exception, such as a
`ValueError` from a user's objective, from Keras or from TensorFlow, keeps its traceback: it may
come from a mistake that only the traceback finds. So whatever refuses bad input raises
`InputError`, and never a bare `ValueError`; a test checks that.

Left out on purpose: `Interrupted`. Like every `KeyboardInterrupt`, it passes `except Exception`.
"""

from __future__ import annotations


class BanError(Exception):
    """Base class of the errors of this package; the message says what to do."""

    # AutoGraph raises an error of a traced function again as what it is only if its class is
    # constructed as plain exceptions are; else it becomes a StagingError.
    __init__ = Exception.__init__


class InputError(BanError, ValueError):
    """An argument, a flag or a file cannot be used; the message names it, and what would be right.

    A `ValueError`, so that code that catches those need not know of this class.
    """


class RunError(BanError, RuntimeError):
    """A run cannot continue, though its input is right."""


class RunDirectoryError(InputError):
    """A run directory that cannot be used; the message says what to do."""


class CorruptFileError(RunDirectoryError):
    """A file is not what the manifest says that it is."""


class SaveError(RunError):
    """The disk is full or refuses; what was saved before is as it was."""


class OptionsError(InputError):
    """A flag has a value that cannot be used; the message names flag, value and remedy."""


class DivergenceError(RunError):
    """The loss, or a weight, stopped being a finite number."""


class ClusterError(RunError):
    """The workers of a cluster did not come together."""


class WorkerError(RunError):
    """The workers cannot go on together; the message says why, and what to do."""
