"""A generation: what it is when it is finished, and how it is kept in a run directory."""

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
from ban_tf.system.csv_tables import from_csv, to_csv
from ban_tf.errors import CorruptFileError, RunDirectoryError
from ban_tf.runs.history import Rows
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system.files import convert_os_errors


@dataclasses.dataclass
class Generation:
    """A finished generation.

    Attributes:
        number: 0 for the one that learnt from labels, then 1, 2, ...
        taught_by: In words, whom it learnt from.
        weights: Its kept weights, in the order of `model.get_weights()`.
        history: A row of numbers for each epoch.
        timings: Seconds and throughput for each epoch.
        given: Whether it was trained elsewhere and handed in.
        collapsed: Whether it does no better than chance on validation data.
        kept: The row of numbers that describes the kept weights; empty if it is not known.
    """

    number: int
    taught_by: str
    weights: list[np.ndarray] = dataclasses.field(repr=False)
    history: Rows = dataclasses.field(repr=False)
    timings: Rows = dataclasses.field(repr=False)
    given: bool = False
    collapsed: bool = False
    kept: dict[str, float] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def seconds(self) -> float:
        """Time that its training took, in seconds."""
        return sum(float(row["seconds"]) for row in self.timings)

    def digest(self) -> str:
        """Returns a hash of the weights."""
        return fingerprint.of_weights(self.weights)


def in_words(numbers: list[int]) -> str:
    """Returns who teaches, by the numbers of the generations; without any it is the labels."""
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
    """Notes on what a generation starts, or checks it against what it started on.

    Args:
        directory: The run.
        number: The generation's number.
        epochs: How many epochs it is to have.
        teachers: Hashes of those that it learns from, by their numbers.

    Returns:
        The epochs that it has: those that it was begun with, if it was.

    Raises:
        RunDirectoryError: It was begun on another teacher.
    """
    facts = _facts(directory, number)
    if facts and directory.names(f"{folder(number)}/checkpoint-"):
        _check_teachers(directory, number, facts, teachers)
        return int(facts["epochs"])
    _note(directory, number, epochs=epochs, finished=False, teachers=_by_name(teachers))
    return epochs


def write(directory: RunDirectory, generation: Generation, model: keras.Model) -> None:
    """Writes a finished generation: from here on it counts, and its checkpoints do not."""
    place = folder(generation.number)
    facts = {
        **_facts(directory, generation.number),
        "finished": True,
        "taught_by": generation.taught_by,
        "collapsed": generation.collapsed,
        "kept": generation.kept,
    }
    directory.commit(
        {
            f"{place}/model.keras": model_bytes(model),
            f"{place}/history.csv": to_csv(generation.history),
            f"{place}/timings.csv": to_csv(generation.timings),
        },
        facts=_with(directory, generation.number, facts),
        remove=directory.names(f"{place}/checkpoint-"),
    )


def read(
    directory: RunDirectory,
    number: int,
    teachers: dict[int, str],
    build: Callable[[], keras.Model],
) -> Generation | None:
    """Reads a finished generation; None if the run has none of that number.

    Args:
        directory: The run.
        number: The generation's number.
        build: Makes a model of the same shape.
        teachers: Hashes of those that it must have learnt from, by their numbers.

    Raises:
        RunDirectoryError: Its model is not what was written, or it had another teacher.
    """
    facts = _facts(directory, number)
    if not facts.get("finished"):
        return None
    _check_teachers(directory, number, facts, teachers)
    place = folder(number)
    model = build()
    try:
        content = directory.read(f"{place}/model.keras")
    except CorruptFileError as error:
        raise RunDirectoryError(
            f"{error} Generation {number} is finished, and this is all that there is of it: put "
            "the file back from a copy, or start anew in another directory."
        ) from error
    with convert_os_errors(tempfile.gettempdir()), tempfile.TemporaryDirectory() as copy:
        # The weights alone: classes of the user's own need not be known to Keras.
        path = pathlib.Path(copy) / "model.keras"
        path.write_bytes(content)
        model.load_weights(path)
    history, timings = (_rows(directory, f"{place}/{name}.csv") for name in ("history", "timings"))
    return Generation(
        number,
        facts["taught_by"],
        model.get_weights(),
        history,
        timings,
        collapsed=facts["collapsed"],
        kept=facts.get("kept", {}),  # runs of earlier versions have none
    )


def _rows(directory: RunDirectory, name: str) -> Rows:
    """Reads a table, which is worth less than the generation that it tells of."""
    try:
        return from_csv(directory.read(name))
    except CorruptFileError as error:
        logging.warning("%s Going on without it.", error)
        return []


def finished(directory: RunDirectory) -> list[int]:
    """Returns the numbers of the generations that a run has finished."""
    known = directory.facts.get("generations", {})
    return sorted(int(number) for number, facts in known.items() if facts.get("finished"))


def check_settings(
    directory: RunDirectory, settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Checks that a resumed run has the same settings; stores those of a new run.

    Args:
        directory: Of the run.
        settings: Facts that it must agree on.
        defaults: Values assumed for settings that older runs did not record. They are recorded
            then, and hold from there on.

    Raises:
        RunDirectoryError: The run has other settings.
    """
    settings, defaults = (json.loads(json.dumps(dict(each))) for each in (settings, defaults))
    before = directory.facts.get("settings")
    if before is None or not directory.names("generation-"):  # nothing is there that they shaped
        directory.commit(facts={"settings": settings})
        return
    recorded, before = before, {**defaults, **before}
    changed = [
        f"{name} was {before.get(name)!r} and is now {settings.get(name)!r}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if changed:
        raise RunDirectoryError(
            f"{directory.path} holds a run with other settings: {'; '.join(changed)}. Choose "
            "another directory, or the former settings to go on with it."
        )
    if before != recorded:
        directory.commit(facts={"settings": before})


def check_last(directory: RunDirectory, number: int) -> None:
    """Sees to it that no finished generation is left out.

    Args:
        directory: Of the run.
        number: The last generation that is asked for.

    Raises:
        RunDirectoryError: There are finished ones after it.
    """
    last = max(finished(directory), default=0)
    if last > number:
        raise RunDirectoryError(
            f"{directory.path} holds {last} born-again generations already; {number} would leave "
            f"some of them out. Ask for {last} or more, or choose another directory."
        )


def epochs_of(directory: RunDirectory, number: int) -> int | None:
    """Returns how many epochs a generation was begun with; None if it was not begun."""
    epochs = _facts(directory, number).get("epochs")
    return None if epochs is None else int(epochs)


def model_bytes(model: keras.Model) -> bytes:
    """Returns the content of the `.keras` file of a model.

    Raises:
        SaveError: The folder for temporary files is full.
    """
    with convert_os_errors(tempfile.gettempdir()), tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "model.keras"
        model.save(path)
        return path.read_bytes()


def _facts(directory: RunDirectory, number: int) -> dict:
    return directory.facts.get("generations", {}).get(str(number), {})


def _with(directory: RunDirectory, number: int, facts: dict) -> dict:
    return {"generations": {**directory.facts.get("generations", {}), str(number): facts}}


def _note(directory: RunDirectory, number: int, **facts: object) -> None:
    directory.commit(facts=_with(directory, number, facts))


def _by_name(teachers: dict[int, str]) -> dict[str, str]:
    return {str(number): digest for number, digest in teachers.items()}


def _check_teachers(
    directory: RunDirectory, number: int, facts: dict, teachers: dict[int, str]
) -> None:
    if facts["teachers"] != _by_name(teachers):
        names = ", ".join(map(str, teachers)) or "none"
        raise RunDirectoryError(
            f"Generation {number} in {directory.path} was begun on other teachers than those that "
            f"are there now (generations {names}); start anew in another directory."
        )
