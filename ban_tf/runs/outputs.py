"""Checks where commands write: never over the files of a run."""

from __future__ import annotations

import contextlib
import os
import pathlib

from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs import manifests

# Files of a run that its manifest does not list, at the top of its directory.
_UNLISTED = (
    manifests.LOCK,
    manifests.MANIFEST,
    manifests.PREVIOUS,
    "report.html",
    "predictions.csv",
)


def check_not_of_run(path: str | os.PathLike, flag: str) -> None:
    """Checks that a file to be written is not one of a run's own files.

    Args:
        path: The file; it need not exist.
        flag: The flag that names it, such as "--output=FILE".

    Raises:
        InputError: It belongs to a run.
    """
    real = pathlib.Path(os.path.realpath(path))
    for folder in real.parents:
        if not os.path.lexists(folder / manifests.MANIFEST):
            continue
        names = {*_UNLISTED}
        with contextlib.suppress(RunDirectoryError):  # a damaged manifest lists nothing
            names.update(manifests.read(folder)[0]["files"])
        name = real.relative_to(folder).as_posix()
        if name in names or name.startswith("generation-"):
            raise InputError(
                f"{flag} would overwrite {name} of the run in {folder}; choose another path."
            )


def check_file(path: str | os.PathLike, flag: str) -> None:
    """Checks that a file can be written, before the work whose results it takes.

    Args:
        path: The file; it need not exist.
        flag: The flag that names it, such as "--json=FILE".

    Raises:
        InputError: It is a folder, its folder does not exist, it cannot be written, or it belongs
            to a run.
    """
    check_not_of_run(path, flag)
    path = pathlib.Path(path)
    if path.is_dir():
        raise InputError(f"{flag} cannot be written (it is a folder).")
    if not path.parent.is_dir():
        raise InputError(f"{flag} cannot be written (there is no folder {path.parent}).")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{flag} cannot be written (no permission).")


def check_folder(path: str | os.PathLike, flag: str) -> None:
    """Checks that files can be written to a folder, which need not exist, beside no run's own.

    Args:
        path: The folder.
        flag: The flag that names it, such as "--masks=FOLDER".

    Raises:
        InputError: It is a file or a run, its folder does not exist, or it cannot be written.
    """
    check_not_of_run(pathlib.Path(path) / "file", flag)
    path = pathlib.Path(path)
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(f"{flag} cannot be written (it is a file).")
    if os.path.lexists(path / manifests.MANIFEST):
        raise InputError(f"{flag} cannot be written (it is a run).")
    if not path.is_dir() and not path.parent.is_dir():
        raise InputError(f"{flag} cannot be written (there is no folder {path.parent}).")
    if not os.access(path if path.is_dir() else path.parent, os.W_OK):
        raise InputError(f"{flag} cannot be written (no permission).")
