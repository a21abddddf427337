"""Read-only access to a run directory, without TensorFlow.

Reports, exports and overviews read runs through this module. Files that the manifest names are
checked against it. A run that is still training can be read, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ban_tf.distillation import teacher_names
from ban_tf.errors import CorruptFileError, InputError, RunDirectoryError
from ban_tf.metrics import summary as summary_module
from ban_tf.runs import schemas
from ban_tf.runs.manifests import MANIFEST
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import archives, csv_tables, json_schema, safe_files, shown

if TYPE_CHECKING:
    from ban_tf.datasets.image_data import ImageData

_T = TypeVar("_T")

DATA = "data.json"
VOCABULARY = "vocabulary.json"
TEST = "test.npz"
TEST_FILES = "test_files.json"
CLASSES = "classes.json"  # of classifiers of something else than images
THRESHOLDS = "thresholds.json"  # of classifiers with independent labels
NEAR_DUPLICATES = "near_duplicates.json"
SUMMARY = "summary.json"
ANALYSIS = "analysis.png"
EXPORTS = "export"  # the folder of exported models, unless --output names another place
_MOST_EXPORTS = 100


class RunReader(RunDirectory):
    """A run directory opened for reading: nothing is created, locked or written.

    Args:
        path: The directory.

    Raises:
        RunDirectoryError: There is no run, or its manifest is invalid.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        if not os.path.lexists(self.path / MANIFEST):
            raise RunDirectoryError(f"{self.path} is not a run: it holds no {MANIFEST}.")
        self._manifest = self._read_manifest()

    def close(self) -> None:
        """Does nothing: there is no lock to release."""

    def commit(self, *arguments: Any, **keywords: Any) -> None:
        """Refused."""
        raise RunDirectoryError(f"{self.path} was opened read-only.")


def run_around(file: str | os.PathLike) -> RunReader | None:
    """Returns the run that a model file lies in; None if it is in none."""
    folders = pathlib.Path(file).absolute().parents[:2]
    return next((RunReader(folder) for folder in folders if (folder / MANIFEST).is_file()), None)


def of_run_around(file: str | os.PathLike, read: Callable[[RunReader], _T]) -> _T | None:
    """Returns what is read of the run that a model file lies in; None if that cannot be read.

    Args:
        file: The model file.
        read: Reads a run.
    """
    with contextlib.suppress(RunDirectoryError, InputError, OSError):
        run = run_around(file)
        return None if run is None else read(run)
    return None


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """Describes the data, so that a model can be applied to other images.

    Attributes:
        dataset: The value of `--dataset`.
        class_names: In the order of the model's outputs.
        input_shape: Height, width and channels.
        mean: Of each channel, of images scaled to 0..1.
        std: Likewise.
        resize: How images are brought to this size; see `datasets.resizing`.
    """

    dataset: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str = "stretch"  # as all runs did that do not name it

    @classmethod
    def of(cls, data: ImageData, resize: str) -> DataFacts:
        """Returns the description of data that are resized in this way."""
        mean, std = (tuple(float(value) for value in part) for part in (data.mean, data.std))
        return cls(data.name, tuple(data.class_names), data.input_shape, mean, std, resize)

    def to_json(self) -> bytes:
        """Returns the content of `data.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()


@dataclasses.dataclass(frozen=True)
class Test:
    """The part of the test set that reports need.

    Attributes:
        labels: The true classes, integers [examples]; or zeros and ones [examples, labels].
        shown: Indices of the examples whose images are stored, integers [kept].
        images: Those images or thumbnails of them, uint8 [kept, height, width, channels].
        files: The name of each example's file, relative to the folder of the dataset; None if
            the examples come from no files.
    """

    labels: np.ndarray
    shown: np.ndarray
    images: np.ndarray
    files: tuple[str, ...] | None = None

    def to_files(self) -> dict[str, bytes]:
        """Returns the files of a run that keep this, by name."""
        found = {TEST: self.to_bytes()}
        if self.files is not None:
            found[TEST_FILES] = json.dumps({"files": self.files}, indent=1).encode()
        return found

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
    facts = json_schema.read(run.read(DATA), schemas.DATA, run.path / DATA)
    channels = facts["input_shape"][-1]
    if len(facts["mean"]) != channels or len(facts["std"]) != channels:
        raise RunDirectoryError(f"{run.path / DATA} needs a mean and std for {channels} channels.")
    names, shape, mean, std = (
        tuple(facts[key]) for key in ("class_names", "input_shape", "mean", "std")
    )
    resize = facts.get("resize", DataFacts.resize)
    return DataFacts(facts["dataset"], names, shape, mean, std, resize)


def read_vocabulary(run: RunReader) -> tuple[str, ...]:
    """Reads the words of a run on text; tokens are indices into them.

    Raises:
        RunDirectoryError: The vocabulary is missing, as in runs of earlier versions, or invalid.
    """
    if VOCABULARY not in run.names():
        raise RunDirectoryError(
            f"{run.path} holds no {VOCABULARY}; resume it once to write it: {resume(run)}"
        )
    name = run.path / VOCABULARY
    return tuple(json_schema.read(run.read(VOCABULARY), schemas.VOCABULARY, name)["words"])


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
    if not has_summary(run):
        raise RunDirectoryError(f"{run.path} has no results yet; finish it first: {resume(run)}")
    return summary_module.from_json(run.read(SUMMARY), run.path / SUMMARY)


def has_summary(run: RunReader) -> bool:
    """Returns whether there is a `summary.json`, valid or not."""
    return os.path.lexists(run.path / SUMMARY)


def read_predictions(run: RunReader, generations: int) -> list[np.ndarray]:
    """Reads each generation's log-probabilities on the test set, float64 [examples, classes].

    Raises:
        RunDirectoryError: A file is missing or damaged, or the run keeps no predictions.
    """
    if CLASSES not in run.names():
        _require_images(run)
    return [
        predictions(run, f"generation-{number}/predictions.npz") for number in range(generations)
    ]


def predictions(run: RunDirectory, name: str) -> np.ndarray:
    """Reads the log-probabilities in a file, float64 [examples, classes].

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    found = arrays(run, name, ("00000",))[0]
    if found.dtype.kind != "f" or found.ndim != 2 or not found.size:
        raise CorruptFileError(f"{run.path / name} does not hold predictions.")
    with np.errstate(over="ignore"):
        sums = np.exp(found, dtype=np.float64).sum(axis=-1)
    if not np.all(np.abs(sums - 1.0) < 1e-3):
        raise CorruptFileError(
            f"{run.path / name} does not hold the logarithms of probabilities that sum to 1."
        )
    return found


def read_test(run: RunReader, several: bool = False) -> Test:
    """Reads the labels of the test set and its stored images.

    Args:
        run: The run.
        several: Whether an example has several labels instead of one class.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    labels, shown, images = arrays(run, TEST, ("labels", "shown", "images"))
    whole = all(array.dtype.kind in "iu" for array in (labels, shown))
    whole = whole and (labels.ndim, shown.ndim) == (2 if several else 1, 1)
    if not (whole and images.dtype == np.uint8 and images.ndim == 4 and len(shown) == len(images)):
        raise CorruptFileError(f"{run.path / TEST} does not hold labels and images of a test set.")
    if not labels.size or labels.min() < 0 or (several and labels.max() > 1):
        raise CorruptFileError(
            f"{run.path / TEST} has no labels, or one below 0{' or above 1' if several else ''}."
        )
    return Test(labels, shown, images, names_of_examples(run, len(labels)))


def names_of_examples(run: RunReader, examples: int) -> tuple[str, ...] | None:
    """Returns the names of the test examples; None if they have none."""
    if TEST_FILES not in run.names():
        return None
    name = run.path / TEST_FILES
    files = json_schema.read(run.read(TEST_FILES), schemas.TEST_FILES, name)["files"]
    if len(files) != examples:
        raise CorruptFileError(f"{name} names {len(files)} files of {examples} examples.")
    return tuple(files)


def read_near_duplicates(run: RunReader) -> tuple[int, list[tuple[str, str]]]:
    """Returns how many test images nearly equal a training image, and some pairs of names.

    Raises:
        CorruptFileError: The file is damaged.
    """
    if NEAR_DUPLICATES not in run.names():
        return 0, []
    name = run.path / NEAR_DUPLICATES
    found = json_schema.read(run.read(NEAR_DUPLICATES), schemas.NEAR_DUPLICATES, name)
    return found["count"], list(zip(found["test"], found["train"], strict=False))


def read_quantized_exports(run: RunReader) -> dict[str, dict[str, Any]]:
    """Reads the measurements of the quantized models in `export/`, by the names of their files.

    Raises:
        CorruptFileError: A manifest there is no regular file, or its entry is none.
    """
    found = {}
    for path in sorted((run.path / EXPORTS).glob("*.tflite.json"))[:_MOST_EXPORTS]:
        content = read_unlisted(run, f"{EXPORTS}/{path.name}") or b""
        entry = json_schema.read(content, schemas.EXPORT, path).get("quantization")
        if entry is not None:
            found[shown.escaped(path.name.removesuffix(".json"))] = entry
    return found


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
        return rows(run, file, schemas.TABLES[name])
    content = read_unlisted(run, file)  # of an unfinished generation
    return [] if content is None else _table(content, schemas.TABLES[name], run.path / file)


def rows(run: RunDirectory, name: str, schema: json_schema.Schema) -> list[dict[str, float]]:
    """Reads a listed table of numbers that fits a schema.

    Raises:
        CorruptFileError: The file is damaged, or is not such a table.
    """
    return _table(run.read(name), schema, run.path / name)


def _table(
    content: bytes, schema: json_schema.Schema, name: pathlib.Path
) -> list[dict[str, float]]:
    try:
        found = csv_tables.from_csv(content)
    except ValueError as error:
        raise CorruptFileError(f"{name} is not a table of numbers.") from error
    json_schema.check(found, schema, name)
    return found


def read_unlisted(run: RunReader, name: str) -> bytes | None:
    """Reads a file that the manifest does not list; returns None if it does not exist.

    Raises:
        CorruptFileError: It is not a regular file, is too large, or is outside the run.
    """
    try:
        return safe_files.read_below(run.path / name, run.path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptFileError(f"{run.path / name} cannot be read ({error.strerror}).") from error


def finished_generations(run: RunReader) -> list[int]:
    """Returns the numbers of the finished generations."""
    given = [0] if teacher_names.is_first_model(settings(run)) else []
    known = run.metadata.get("generations", {})
    found = sorted({*given, *(int(number) for number, state in known.items() if state["finished"])})
    if found != list(range(len(found))):
        raise RunDirectoryError(
            f"{run.path / MANIFEST} lists the finished generations {found}, which are not all up "
            "to the last one."
        )
    return found


def settings(run: RunReader) -> dict[str, Any]:
    """Returns the settings of the run.

    Raises:
        RunDirectoryError: One that models depend on has the wrong type.
    """
    found = run.metadata.get("settings", {})
    json_schema.check(found, schemas.SETTINGS, f"{run.path / MANIFEST}: settings")
    return found


def resume(run: RunReader) -> str:
    """Returns the command that resumes a run, quoted for a shell."""
    flags = [f"--flagfile={run.path / 'run.cfg'}", f"--workdir={run.path}"]
    return shown.command(["python", "-m", "ban_tf.main", *flags])


def arrays(run: RunDirectory, name: str, keys: tuple[str, ...]) -> list[np.ndarray]:
    """Reads the arrays of these names in a file.

    Raises:
        CorruptFileError: The file is damaged, or lacks one.
    """
    found = archives.arrays(run.read(name), run.path / name, keys)
    return [found[key] for key in keys]
