"""The images of a run as an exported model takes them: to calibrate it, and to measure it."""

from __future__ import annotations

import pathlib

import numpy as np

from ban_tf import datasets
from ban_tf.datasets.image_data import Rows
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs import reading
from ban_tf.tasks import data_facts
from ban_tf.tasks.task import ServedData

_CALIBRATION = 300  # training images
_BATCH = 100


def load(
    run: reading.RunReader,
    preprocessing: bool,
    dataset: str | None = None,
    data_dir: str | None = None,
) -> ServedData:
    """Loads the training and test images of a run again.

    Args:
        run: The run.
        preprocessing: Whether the model takes uint8 images; else it takes normalized ones.
        dataset: Where the data is now; by default as recorded in the run.
        data_dir: The directory of TFDS data, likewise.

    Raises:
        InputError: The data has gone, or is not that of the run.
    """
    facts = reading.read_data_facts(run)
    name = dataset or facts.dataset
    try:
        data = _again(run, facts, name, data_dir or _data_dir(run))
    except InputError as error:
        raise InputError(
            f"the data of {run.path} cannot be loaded again; --dataset and --data_dir name where "
            f"it is now: {error}"
        ) from error
    if not _is_of(run, data):
        raise InputError(
            f"--dataset={name} no longer holds the images that {run.path} was trained and tested "
            "on; name these with --dataset."
        )

    def prepared(images: np.ndarray | Rows, rows: np.ndarray | slice) -> np.ndarray:
        if preprocessing:
            return np.asarray(images[rows])
        mean, std = (np.asarray(values, np.float32) for values in (facts.mean, facts.std))
        return (images[rows].astype(np.float32) / 255 - mean) / std

    count = len(data.train.labels)
    spread = np.linspace(0, count - 1, min(count, _CALIBRATION)).astype(int)
    test = data.test
    return ServedData(
        prepared(data.train.images, spread),
        lambda: (
            prepared(test.images, slice(start, start + _BATCH))
            for start in range(0, len(test.labels), _BATCH)
        ),
        np.asarray(test.labels),
    )


def are_own(run: reading.RunReader, folder: str) -> bool:
    """Returns whether a folder of classes has the images that a run was trained and tested on.

    They are read only if the folder has the names of all test images of the run.

    Args:
        run: The run.
        folder: As `--dataset`.
    """
    root = pathlib.Path(folder.partition(":")[2]).expanduser()
    try:
        files = reading.read_test(run).files
        recorded = "data" in reading.settings(run)  # a hash, as of all but old runs
        if not recorded or not files or not all((root / name).is_file() for name in files):
            return False
        return _is_of(run, _again(run, reading.read_data_facts(run), folder, None))
    except (InputError, RunDirectoryError, OSError):  # such as too few images to be divided
        return False


def _again(
    run: reading.RunReader, facts: reading.DataFacts, name: str, data_dir: str | None
) -> datasets.ImageData:
    """Loads a dataset with the settings of a run."""
    settings = reading.settings(run)
    return datasets.load(
        name,
        data_dir=data_dir,
        validation_fraction=settings.get("validation_fraction", 0.1),
        train_examples=settings.get("train_examples"),
        seed=settings.get("seed", 0),
        image_size=facts.input_shape[:2],
        resize=facts.resize,
        skip_bad_files=settings.get("skip_bad_files", False),
        test_fraction=settings.get("test_fraction", 0.2),
        target=settings.get("target"),
    )


def _is_of(run: reading.RunReader, data: datasets.ImageData) -> bool:
    known = data_facts.known_by(data.content)
    return reading.settings(run).get("data", known) == known


def _data_dir(run: reading.RunReader) -> str | None:
    """Returns the value of `--data_dir`, which is no setting: a run may be resumed with another."""
    if "run.cfg" not in run.names():
        return None
    flag = "--data_dir="
    lines = run.read("run.cfg").decode("utf-8", "replace").splitlines()
    return next((line.removeprefix(flag) for line in lines if line.startswith(flag)), None)
