"""Read-only access to a run directory, without TensorFlow.

Reports, exports and overviews read runs through this module. Files that the manifest names are
checked against it. A run that is still training can be read, too.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
from typing import Any

import numpy as np

from ban_tf.errors import CorruptFileError, RunDirectoryError
from ban_tf.metrics import summary as summary_module
from ban_tf.runs.manifests import MANIFEST
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import csv_tables, shown

DATA = "data.json"
VOCABULARY = "vocabulary.json"
TEST = "test.npz"
ANALYSIS = "analysis.png"
_DATA_KEYS = ("dataset", "class_names", "input_shape", "mean", "std")


class RunReader(RunDirectory):
    """A run directory opened for reading: nothing is created, locked or written.

    Args:
        path: The directory.

    Raises:
        RunDirectoryError: There is no run, or its manifest is invalid.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        if not (self.path / MANIFEST).is_file():
            raise RunDirectoryError(f"{self.path} is not a run: it holds no {MANIFEST}.")
        self._manifest = self._read_manifest()

    def close(self) -> None:
        """Does nothing: there is no lock to release."""

    def commit(self, *arguments: Any, **keywords: Any) -> None:
        """Refused."""
        raise RunDirectoryError(f"{self.path} was opened read-only.")


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """Describes the data, so that a model can be applied to other images.

    Attributes:
        dataset: The value of `--dataset`.
        class_names: In the order of the model's outputs.
        input_shape: Height, width and channels.
        mean: Of each channel, of images scaled to 0..1.
        std: Likewise.
    """

    dataset: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_json(self) -> bytes:
        """Returns the content of `data.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


@dataclasses.dataclass(frozen=True)
class Test:
    """The part of the test set that reports need.

    Attributes:
        labels: The true classes, integers [examples].
        shown: Indices of the examples whose images are stored, integers [kept].
        images: Those images, uint8 [kept, height, width, channels].
    """

    labels: np.ndarray
    shown: np.ndarray
    images: np.ndarray

    def to_bytes(self) -> bytes:
        """Returns the content of `test.npz`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, labels=self.labels, shown=self.shown, images=self.images)
        return buffer.getvalue()


def read_data_facts(run: RunReader) -> DataFacts:
    """Reads `data.json`.

    Raises:
        RunDirectoryError: The run is not on images, or the file is incomplete.
    """
    _require_images(run)
    facts = _json(run, DATA)
    missing = [key for key in _DATA_KEYS if key not in facts]
    if missing:
        raise RunDirectoryError(f"{run.path / DATA} lacks {', '.join(missing)}.")
    channels = facts["input_shape"][-1]
    if len(facts["mean"]) != channels or len(facts["std"]) != channels:
        raise RunDirectoryError(f"{run.path / DATA} needs a mean and std for {channels} channels.")
    return DataFacts(
        facts["dataset"], *(tuple(facts[key]) for key in _DATA_KEYS if key != "dataset")
    )


def read_vocabulary(run: RunReader) -> tuple[str, ...]:
    """Reads the words of a run on text; tokens are indices into them.

    Raises:
        RunDirectoryError: The vocabulary is missing, as in runs of earlier versions, or invalid.
    """
    if VOCABULARY not in run.names():
        raise RunDirectoryError(
            f"{run.path} holds no {VOCABULARY}; resume it once to write it: {resume(run)}"
        )
    words = _json(run, VOCABULARY).get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise RunDirectoryError(f"{run.path / VOCABULARY} has no list of words.")
    return tuple(words)


def _require_images(run: RunReader) -> None:
    if DATA not in run.names():
        raise RunDirectoryError(
            f"{run.path} is not a run on images, as it holds no {DATA}; its models are plain Keras "
            "models."
        )


def read_summary(run: RunReader) -> dict[str, Any]:
    """Reads and checks `summary.json`.

    Raises:
        RunDirectoryError: The run is not finished.
        InputError: The file is not a summary.
    """
    if not (run.path / "summary.json").is_file():
        raise RunDirectoryError(f"{run.path} has no results yet; finish it first: {resume(run)}")
    run.read("summary.json")  # checks size and hash
    return summary_module.load(run.path)


def read_predictions(run: RunReader, generations: int) -> list[np.ndarray]:
    """Reads each generation's log-probabilities on the test set, float64 [examples, classes].

    Raises:
        RunDirectoryError: A file is missing or damaged, or the run is not on images.
    """
    _require_images(run)
    return [
        _arrays(run, f"generation-{number}/predictions.npz", ("00000",))[0]
        for number in range(generations)
    ]


def read_test(run: RunReader) -> Test:
    """Reads the labels of the test set and its stored images.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    return Test(*_arrays(run, TEST, ("labels", "shown", "images")))


def read_history(run: RunReader, number: int, name: str = "history") -> list[dict[str, float]]:
    """Reads a generation's rows, one per epoch; returns none if the file does not exist.

    Args:
        run: The run.
        number: The generation, finished or not.
        name: "history" or "timings".

    Raises:
        RunDirectoryError: The file is damaged, or not a table of numbers.
    """
    file = f"generation-{number}/{name}.csv"
    if file in run.names():
        content = run.read(file)
    elif (run.path / file).is_file():  # of an unfinished generation
        content = (run.path / file).read_bytes()
    else:
        return []
    try:
        return csv_tables.from_csv(content)
    except ValueError as error:
        raise RunDirectoryError(f"{run.path / file} is not a table of numbers.") from error


def finished_generations(run: RunReader) -> list[int]:
    """Returns the numbers of the finished generations."""
    given = [0] if settings(run).get("teacher_from") else []
    known = run.metadata.get("generations", {})
    return sorted({*given, *(int(number) for number, state in known.items() if state["finished"])})


def settings(run: RunReader) -> dict[str, Any]:
    """Returns the settings of the run."""
    return run.metadata.get("settings", {})


def resume(run: RunReader) -> str:
    """Returns the command that resumes a run, quoted for a shell."""
    flags = [f"--flagfile={run.path / 'run.cfg'}", f"--workdir={run.path}"]
    return shown.command(["python", "-m", "ban_tf.main", *flags])


def _json(run: RunReader, name: str) -> dict[str, Any]:
    try:
        content = json.loads(run.read(name))
    except json.JSONDecodeError as error:
        raise RunDirectoryError(f"{run.path / name} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{run.path / name} is not a JSON dictionary.")
    return content


def _arrays(run: RunReader, name: str, keys: tuple[str, ...]) -> list[np.ndarray]:
    content = run.read(name)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return [archive[key] for key in keys]
    except (KeyError, ValueError, OSError) as error:
        raise CorruptFileError(f"{run.path / name} does not hold {', '.join(keys)}.") from error
