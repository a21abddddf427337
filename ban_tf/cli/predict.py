"""`ban-tf predict RUN FILE ...`: predictions of a run's models for files."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags
from PIL import Image

from ban_tf.cli import common as command
from ban_tf.config import registry
from ban_tf.errors import InputError
from ban_tf.runs import outputs, preferred, reading
from ban_tf.system import csv_tables, shown

if TYPE_CHECKING:
    from ban_tf.tasks.task import Predictions

NAME = "ban-tf predict"
USAGE = """ban-tf predict RUN FILE [FILE ...] [flags]

Prints the class of each image and its probability; images of another size than the run's are
resized. A folder stands for all images in it and in its folders, a pattern such as 'photos/*.jpg'
for the files that match. Files that cannot be read are named at the end; the exit code is then 1,
or 2 if nothing could be predicted. For a run on masks, prints the largest classes of each image and
their shares of its pixels; --masks=FOLDER writes the masks. For a run on labeled texts, a file is
one text, or with --lines each of its lines. For a run on a table, prints the class or the number of
each row of tables, which need no column with it. For a run on text, prints the most likely next
words after each line of text files; of a long line it reads the last 256 words.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    with warnings.catch_warnings():  # of large images, which it reads up to Pillow's limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return command.run(NAME, USAGE, _spelt_out(arguments), _work, _define)


def _spelt_out(arguments: Sequence[str]) -> list[str]:
    """Turns `--csv` without a file into `--csv=-`, standard output."""
    following = [*arguments, "--"][1:]
    return [
        "--csv=-" if argument == "--csv" and after.startswith("--") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "model",
        preferred.BEST,
        "ensemble, the number of a generation, or best: the one that validation prefers.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "csv",
        None,
        "Write a table of the probabilities to this file; without a file, to the screen.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "masks",
        None,
        "Write the predicted masks to this folder, a PNG of the name and size of each image, whose "
        "pixels are class indices; for runs on masks.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "top",
        None,
        "How many of the most likely classes, with their probabilities; 1 by default, and all in "
        "the table of --csv. For text, how many of the most likely next words; 5 by default.",
        lower_bound=1,
        flag_values=values,
    )

    flags.DEFINE_bool(
        "lines",
        False,
        "Predict for each line of a file, and not for the file; of a run on labeled texts.",
        flag_values=values,
    )


def _work(values: flags.FlagValues, names: list[str]) -> int:
    if len(names) < 2:
        raise InputError("name a run and at least one file.")
    run, files, table = reading.RunReader(names[0]), names[1:], values.csv
    if table and _is_image(table):
        raise InputError(f"--csv={table} is an image; choose another file for the table.")
    if table and os.path.realpath(table) in map(os.path.realpath, files):
        raise InputError(f"--csv={table} is a file to predict; choose another file for the table.")
    if table and table != "-":
        outputs.check_file(table, f"--csv={table}")
    if values.masks:
        outputs.check_folder(values.masks, f"--masks={values.masks}")
    command.import_backend()
    task = registry.of_settings(reading.settings(run)).load()
    if values.lines and not task.takes_lines:
        raise InputError("--lines is for runs on labeled texts; leave it out.")
    if values.masks and not task.predicts_masks:
        raise InputError(f"--masks={values.masks} is for runs on masks; leave it out.")
    options = {"lines": True} if values.lines else {}
    which, reason = preferred.resolve(run, values.model)
    predictions = task.predict(run, files, which, values.top, **options)
    if values.masks:
        _write_masks(predictions, values.masks)
    if reason and predictions.lines:
        command.print_note(reason)
    if predictions.lines or not predictions.bad:
        _show(predictions, table)
    for sentence in predictions.bad:
        command.print_error(NAME, sentence)
    if not predictions.bad:
        return 0
    return 1 if predictions.lines else 2


def _write_masks(predictions: Predictions, folder: str) -> None:
    """Writes masks under the names of their images; of equal names the later ones get a number."""
    contents: dict[str, bytes] = {}
    for path, content in predictions.masks:
        stem = name = pathlib.Path(path).stem
        number = 1
        while f"{name}.png" in contents:
            number += 1
            name = f"{stem}-{number}"
        contents[f"{name}.png"] = content
    images = {os.path.realpath(path) for path, _ in predictions.masks}
    if images & {os.path.realpath(pathlib.Path(folder) / name) for name in contents}:
        raise InputError(f"--masks={folder} holds the images; choose another folder.")
    try:
        pathlib.Path(folder).mkdir(exist_ok=True)
        for name, content in contents.items():
            (pathlib.Path(folder) / name).write_bytes(content)
    except OSError as error:
        raise InputError(f"--masks={folder} cannot be written ({error.strerror}).") from error


def _show(predictions: Predictions, table: str | None) -> None:
    """Writes the table of `--csv`, and then prints predictions, whose reader may be gone."""
    content = csv_tables.for_spreadsheets(predictions.headings, predictions.rows)
    if table == "-":
        print(content, end="")
        return
    if table:
        try:
            # Names of files may be no UTF-8.
            pathlib.Path(table).write_bytes(content.encode(errors="backslashreplace"))
        except OSError as error:
            raise InputError(f"--csv={table} cannot be written ({error.strerror}).") from error
    for line in predictions.lines:
        print(shown.escaped(line, keep="\t"))


def _is_image(path: str) -> bool:
    """Returns whether a file is an image, by its suffix or its content."""
    if pathlib.Path(path).suffix.lower() in Image.registered_extensions():
        return True
    if not pathlib.Path(path).is_file():
        return False
    try:
        with Image.open(path):
            return True
    except Exception:  # decoders raise errors of many types
        return False
