"""A finished generation, and how a run directory stores it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from ban_tf.compat import fingerprint
from ban_tf.errors import CorruptFileError, RunDirectoryError
from ban_tf.runs import model_files, reading, schemas, surroundings
from ban_tf.runs.history import Rows
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system.csv_tables import to_csv
from ban_tf.system.files import convert_os_errors


@dataclasses.dataclass
class Generation:
    """A finished generation.

    Attributes:
        number: 0 for the one trained on labels, then 1, 2, ...
        taught_by: A description of its teachers.
        weights: Its final weights, in the order of `model.get_weights()`.
        history: One row of metrics per epoch.
        timings: Seconds and throughput per epoch.
        pretrained: Whether it is a pretrained model that the user passed in.
        collapsed: Whether its validation accuracy is no better than chance.
        kept: The metrics of the final weights; empty if unknown.
    """

    number: int
    taught_by: str
    weights: list[np.ndarray] = dataclasses.field(repr=False)
    history: Rows = dataclasses.field(repr=False)
    timings: Rows = dataclasses.field(repr=False)
    pretrained: bool = False
    collapsed: bool = False
    kept: dict[str, float] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def seconds(self) -> float:
        """Training time in seconds."""
        return sum(float(row["seconds"]) for row in self.timings)

    def digest(self) -> str:
        """Returns a hash of the weights."""
        return fingerprint.of_weights(self.weights)


def teachers_text(numbers: list[int]) -> str:
    """Describes teachers by the numbers of their generations; "labels" if there are none."""
    if not numbers:
        return "labels"
    if len(numbers) == 1:
        return f"generation {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"generations {numbers[0]}-{numbers[-1]}"
    return f"generations {', '.join(map(str, numbers))}"


def folder(number: int) -> str:
    """Returns the name of a generation's folder in a run directory."""
    return f"generation-{number}"


def begin(directory: RunDirectory, number: int, epochs: int, teachers: dict[int, str]) -> int:
    """Records the epochs and teachers of a new generation, or checks those of a resumed one.

    In both cases the surroundings are noted; see `surroundings`.

    Args:
        directory: The run.
        number: The generation's number.
        epochs: Its number of epochs, if it is new.
        teachers: Hashes of its teachers by their numbers.

    Returns:
        Its number of epochs; that of a resumed generation is the recorded one.

    Raises:
        RunDirectoryError: It was started with other teachers.
    """
    surroundings.note(directory)
    metadata = _metadata(directory, number)
    if metadata and directory.names(f"{folder(number)}/checkpoint-"):
        _check_teachers(directory, number, metadata, teachers)
        if metadata["epochs"] != epochs:
            logging.warning(
                "Generation %d was started with %d epochs, and keeps that number.",
                number,
                metadata["epochs"],
            )
        return int(metadata["epochs"])
    _note(directory, number, epochs=epochs, finished=False, teachers=_by_name(teachers))
    return epochs


def write(directory: RunDirectory, generation: Generation, model: keras.Model) -> None:
    """Writes a finished generation and deletes its checkpoints."""
    prefix = folder(generation.number)
    metadata = {
        **_metadata(directory, generation.number),
        "finished": True,
        "taught_by": generation.taught_by,
        "collapsed": generation.collapsed,
        "kept": generation.kept,
    }
    directory.commit(
        {
            f"{prefix}/model.keras": model_bytes(model),
            f"{prefix}/history.csv": to_csv(generation.history),
            f"{prefix}/timings.csv": to_csv(generation.timings),
        },
        metadata=_with(directory, generation.number, metadata),
        remove=directory.names(f"{prefix}/checkpoint-"),
    )


def read(
    directory: RunDirectory,
    number: int,
    teachers: dict[int, str],
    build: Callable[[], keras.Model],
    as_saved: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> Generation | None:
    """Reads a finished generation; returns None if it does not exist.

    Args:
        directory: The run.
        number: The generation's number.
        build: Builds a model of the same shape.
        teachers: Hashes of the teachers that it must have had, by their numbers.
        as_saved: Returns the model that the file holds for a model, whose layers it has.

    Raises:
        RunDirectoryError: Its model file is damaged, or it had other teachers.
    """
    metadata = _metadata(directory, number)
    if not metadata.get("finished"):
        return None
    _check_teachers(directory, number, metadata, teachers)
    prefix = folder(number)
    model = build()
    try:
        model_files.load_weights(as_saved(model), directory, f"{prefix}/model.keras")
    except CorruptFileError as error:
        raise RunDirectoryError(
            f"{error} Generation {number} is finished, and this file was its only copy: restore "
            "the file from a backup, or start again in another directory."
        ) from error
    history, timings = (_rows(directory, prefix, name) for name in schemas.TABLES)
    return Generation(
        number,
        metadata.get("taught_by", teachers_text(list(teachers))),
        model.get_weights(),
        history,
        timings,
        collapsed=metadata.get("collapsed", False),
        kept=metadata.get("kept", {}),  # runs of earlier versions have none
    )


def _rows(directory: RunDirectory, prefix: str, name: str) -> Rows:
    """Reads a table; returns no rows if the file is damaged."""
    try:
        return reading.rows(directory, f"{prefix}/{name}.csv", schemas.TABLES[name])
    except CorruptFileError as error:
        logging.warning("%s Continuing without it.", error)
        return []


def finished(directory: RunDirectory) -> list[int]:
    """Returns the numbers of the finished generations."""
    known = directory.metadata.get("generations", {})
    return sorted(int(number) for number, metadata in known.items() if metadata.get("finished"))


def check_settings(
    directory: RunDirectory, settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Checks that a resumed run has the same settings; stores those of a new run.

    Data of the same content may be at another path, which is recorded.

    Args:
        directory: The run.
        settings: Settings that a resumed run must share.
        defaults: Values assumed for settings that older runs did not record. They are recorded on
            resume.

    Raises:
        RunDirectoryError: The run has other settings.
    """
    settings, defaults = (json.loads(json.dumps(dict(values))) for values in (settings, defaults))
    before = directory.metadata.get("settings")
    if before is None or not directory.names("generation-"):  # nothing was trained yet
        directory.commit(metadata={"settings": settings})
        return
    recorded, before = before, {**defaults, **before}
    if _moved(recorded, settings):
        before["dataset"] = settings["dataset"]
    changed = [
        f"{name} was {before.get(name)!r} and is now {settings.get(name)!r}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if changed:
        raise RunDirectoryError(
            f"{directory.path} holds a run with other settings: {'; '.join(changed)}. Choose "
            "another directory, or resume with the former settings."
        )
    if before != recorded:
        directory.commit(metadata={"settings": before})


def _moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Returns whether settings name the same data of one kind, such as "folder", at two paths.

    Never of a run that recorded no hash of its data.
    """
    kind, _, path = str(before.get("dataset")).partition(":")
    kind_now, _, path_now = str(now.get("dataset")).partition(":")
    same = before.get("data") is not None and before.get("data") == now.get("data")
    return same and kind == kind_now and bool(path and path_now)


def check_last(directory: RunDirectory, number: int) -> None:
    """Checks that the run has no generations beyond the requested ones.

    Args:
        directory: The run.
        number: The last requested generation.

    Raises:
        RunDirectoryError: There are finished generations after it.
    """
    last = max(finished(directory), default=0)
    if last > number:
        raise RunDirectoryError(
            f"{directory.path} holds {last} born-again generations already; {number} would leave "
            f"some of them out. Ask for {last} or more, or choose another directory."
        )


def epochs_of(directory: RunDirectory, number: int) -> int | None:
    """Returns the number of epochs of a generation; None if it was not started."""
    epochs = _metadata(directory, number).get("epochs")
    return None if epochs is None else int(epochs)


def model_bytes(model: keras.Model) -> bytes:
    """Returns the content of the `.keras` file of a model.

    Raises:
        SaveError: The temporary folder is full.
    """
    with convert_os_errors(tempfile.gettempdir()), tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "model.keras"
        model.save(path)
        return path.read_bytes()


def _metadata(directory: RunDirectory, number: int) -> dict:
    return directory.metadata.get("generations", {}).get(str(number), {})


def _with(directory: RunDirectory, number: int, metadata: dict) -> dict:
    return {"generations": {**directory.metadata.get("generations", {}), str(number): metadata}}


def _note(directory: RunDirectory, number: int, **metadata: object) -> None:
    directory.commit(metadata=_with(directory, number, metadata))


def _by_name(teachers: dict[int, str]) -> dict[str, str]:
    return {str(number): digest for number, digest in teachers.items()}


def _check_teachers(
    directory: RunDirectory, number: int, metadata: dict, teachers: dict[int, str]
) -> None:
    if metadata["teachers"] != _by_name(teachers):
        names = ", ".join(map(str, teachers)) or "none"
        raise RunDirectoryError(
            f"Generation {number} in {directory.path} was started with other teachers than the "
            f"present ones (generations {names}); start again in another directory."
        )
