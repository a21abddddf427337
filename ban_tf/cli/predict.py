"""`ban-tf predict RUN image.png ...`: what a run's models see in images of yours."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from ban_tf.cli import common as command
from ban_tf.datasets import folder
from ban_tf.errors import InputError
from ban_tf.runs import reading
from ban_tf.system import csv_tables

NAME = "ban-tf predict"
USAGE = """ban-tf predict RUN IMAGE [IMAGE ...] [flags]

Prints the class of each image and its probability. Images of another size than the run's are
brought to it.
"""


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    return command.run(NAME, USAGE, _spelt_out(arguments), _work, _define)


def _spelt_out(arguments: Sequence[str]) -> list[str]:
    """Takes `--csv` without a file after it for `--csv=-`, standard output."""
    following = [*arguments[1:], "--"]
    return [
        "--csv=-" if each == "--csv" and after.startswith("--") else each
        for each, after in zip(arguments, following, strict=True)
    ]


def predict(run: reading.RunReader, images: Sequence[str], which: str = "ensemble") -> np.ndarray:
    """Returns class probabilities, float64 `[images, classes]`, of image files.

    Args:
        run: The run.
        images: Paths of image files.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: There is no such model, or a file is no image.
    """
    facts = reading.read_data_facts(run)
    pixels = np.stack([read_image(path, facts.input_shape) for path in images])
    command.import_tensorflow()
    from ban_tf.runs import trained

    return np.exp(trained.log_probabilities(trained.load(run, which), pixels, facts))


def read_image(path: str | pathlib.Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Reads an image as a model wants it, uint8 `[height, width, channels]`.

    Raises:
        InputError: The file is not there, or no image.
    """
    from PIL import Image

    height, width, channels = shape
    if channels not in (1, 3):
        raise InputError(f"Images of {channels} channels cannot be read from files.")
    image = folder.open_image(path).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(shape)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "model", "ensemble", "ensemble, or the number of a generation.", flag_values=values
    )
    flags.DEFINE_string(
        "csv",
        None,
        "Write a table of all probabilities to this file; without a file, to the screen.",
        flag_values=values,
    )


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if len(names) < 2:
        raise InputError("name a run and at least one image.")
    run, images, table = reading.RunReader(names[0]), names[1:], values["csv"].value
    if table and pathlib.Path(table).suffix.lower() in folder.SUFFIXES:
        raise InputError(f"--csv={table} names an image, and would replace it by a table.")
    probabilities = predict(run, images, values["model"].value)
    class_names = reading.read_data_facts(run).class_names
    if table == "-":
        print(_csv(images, class_names, probabilities), end="")
        return
    for path, row in zip(images, probabilities, strict=True):
        print(f"{path}\t{class_names[row.argmax()]}\t{row.max():.4f}")
    if table:
        try:
            content = _csv(images, class_names, probabilities)
            pathlib.Path(table).write_text(content, newline="")
        except OSError as error:
            raise InputError(f"--csv={table} cannot be written ({error.strerror}).") from error


def _csv(images: Sequence[str], class_names: Sequence[str], probabilities: np.ndarray) -> str:
    rows = (
        [image, class_names[row.argmax()], *(f"{p:.8g}" for p in row)]
        for image, row in zip(images, probabilities, strict=True)
    )
    return csv_tables.write(["image", "class", *class_names], rows)
