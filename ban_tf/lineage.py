"""The generational loop: which generation is next, from what teacher.

Generation 0 learns from labels; generation k >= 1 starts from fresh weights and learns from
those before it (Furlanello et al., 2018). What is restored, in this order: a finished
generation is read and never trained again; one under way goes on from its newest checkpoint;
all others start fresh.

Models are built once and used by every generation of equal shape: only their variables are set
anew, so that nothing is traced twice and memory does not grow with the generations.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from ban_tf import checkpoints, objectives, seeds, training
from ban_tf.ensemble import ensemble
from ban_tf.rundir import RunDirectory, RunDirectoryError
from ban_tf.student import BornAgainModel

TEACHERS = ("previous", "ensemble", "first")


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
    """

    number: int
    taught_by: str
    weights: list[np.ndarray]
    history: list[dict[str, float]]
    timings: list[dict[str, float]]
    given: bool = False

    @property
    def seconds(self) -> float:
        """Time that its training took, in seconds."""
        return sum(float(row["seconds"]) for row in self.timings)


class Lineage:
    """Trains a network, then fresh copies of it, each on what those before it believe.

    Example:
        ```python
        lineage = ban_tf.Lineage(my_model, generations=3, objective="dkpp", directory="runs/mine")
        lineage.fit(x, y, validation_data=validation, epochs=30, compile={"optimizer": make})
        lineage.ensemble().evaluate(test)
        ```

    Args:
        build: A function that returns a fresh model, or a model that Keras can clone (a
            Functional or Sequential one), of which every generation is a new copy.
        generations: Born-again generations after generation 0.
        objective: See `BornAgainModel`.
        directory: Where the run is kept, and gone on with; None keeps it in memory.
        teacher: "previous" (the generation before), "ensemble" (all before it, averaged) or
            "first" (always generation 0).
        first_model: A trained model to be generation 0, instead of training one.
        label_weight: See `BornAgainModel`.
        temperature: See `BornAgainModel`.
        keep: "last" or "best": which epoch's weights a generation keeps.
        seed: Where all randomness comes from.
        settings: Facts that a run in `directory` must agree on to be gone on with.

    Raises:
        ValueError: An argument is out of its range.
        RunDirectoryError: The directory cannot be used, or holds a run with other settings.
    """

    def __init__(
        self,
        build: Callable[[], keras.Model] | keras.Model,
        generations: int = 3,
        objective: Any = "kd",
        directory: str | pathlib.Path | RunDirectory | None = None,
        *,
        teacher: str = "previous",
        first_model: keras.Model | None = None,
        label_weight: float | None = None,
        temperature: float | None = None,
        keep: str = "last",
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ):
        if generations < 0:
            raise ValueError(f"`generations` must be at least 0. Received: {generations}")
        if teacher not in TEACHERS:
            raise ValueError(f"`teacher` must be one of {TEACHERS}. Received: {teacher!r}")
        if keep not in training.KEEP:
            raise ValueError(f"`keep` must be one of {training.KEEP}. Received: {keep!r}")
        self._build = _builder(build)
        self.number_of_generations = generations
        self.objective = objective
        self.teacher = teacher
        self.label_weight = label_weight
        self.temperature = temperature
        self.keep = keep
        self.seed = seed
        self._first_model = first_model
        self._needs_teacher = getattr(objectives.resolve(objective)[0], "needs_teacher", True)
        self.directory = (
            RunDirectory(directory) if isinstance(directory, (str, pathlib.Path)) else directory
        )
        self.generations: list[Generation] = []
        self._trainers: dict[tuple, _Trainer] = {}
        if self.directory is not None:
            _check_settings(self.directory, settings or {})
        if first_model is not None:
            weights = first_model.get_weights()
            self.generations.append(Generation(0, "given", weights, [], [], given=True))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        epochs: int = 1,
        compile: Mapping[str, Any] | None = None,
        callbacks: Any = None,
        examples_per_epoch: int | None = None,
        **fit: Any,
    ) -> Lineage:
        """Trains the generations that are not there yet.

        Args:
            x: What `model.fit` takes, or a function `(generation, first_epoch) -> x` for data
                that starts at a given epoch.
            y: What `model.fit` takes.
            epochs: Epochs of each generation.
            compile: Arguments for `compile`; "optimizer" may be a function that makes one.
            callbacks: A list used by every generation, or a function
                `(generation, rows so far) -> list`.
            examples_per_epoch: For the throughput, if known.
            **fit: Whatever else `model.fit` takes.

        Returns:
            The lineage itself.
        """
        batches = x if callable(x) else lambda generation, first_epoch: x
        if y is not None:
            fit["y"] = y
        for number in range(self.number_of_generations + 1):
            if number < len(self.generations):
                continue
            generation = self._read(number)
            if generation is None:
                generation = self._train(
                    number,
                    lambda first_epoch, number=number: batches(number, first_epoch),
                    epochs=epochs,
                    compile_arguments=dict(compile or {}),
                    callbacks=_callbacks_for(callbacks, number),
                    examples_per_epoch=examples_per_epoch,
                    fit=fit,
                )
            self.generations.append(generation)
        return self

    def model(self, number: int) -> keras.Model:
        """Returns a generation's model, newly made: a plain Keras model, not compiled."""
        generation = self.generations[number]
        if generation.given:
            return self._first_model
        model = self._build()
        model.set_weights(generation.weights)
        return model

    def ensemble(
        self, members: list[int] | None = None, average: str = "probabilities"
    ) -> keras.Model:
        """Returns the mean of the generations as one Keras model.

        Args:
            members: Numbers of the generations; by default all born-again ones.
            average: See `ban_tf.ensemble.ensemble`.
        """
        numbers = members or [each.number for each in self.generations[1:]] or [0]
        return ensemble([self.model(number) for number in numbers], average)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row for each epoch of each generation, ready for a data frame."""
        return [
            {"generation": generation.number, **row}
            for generation in self.generations
            for row in generation.history
        ]

    def teachers_of(self, number: int) -> list[int]:
        """Returns the numbers of the generations that a generation learns from."""
        if number == 0 or not self._needs_teacher:
            return []
        return {
            "previous": [number - 1],
            "ensemble": list(range(number)),
            "first": [0],
        }[self.teacher]

    def _train(
        self,
        number: int,
        batches: Callable[[int], Any],
        *,
        epochs: int,
        compile_arguments: dict[str, Any],
        callbacks: Callable[[list[dict]], Any],
        examples_per_epoch: int | None,
        fit: dict[str, Any],
    ) -> Generation:
        teachers = self.teachers_of(number)
        trainer = self._trainer(teachers, compile_arguments)
        with seeds.seeded(seeds.derive_seed(self.seed, "weights", number)):
            trainer.begin(self._build(), [self.generations[each] for each in teachers])
        trainer.model.seed = seeds.derive_seed(self.seed, "objective", number)
        outcome = training.train(
            trainer.model,
            batches,
            epochs=epochs,
            keep=self.keep,
            examples_per_epoch=examples_per_epoch,
            directory=self.directory,
            folder=_folder(number),
            callbacks=callbacks,
            **fit,
        )
        generation = Generation(number, _in_words(teachers), *outcome)
        if self.directory is not None:
            trainer.model.student.set_weights(outcome.weights)
            self._write(generation, trainer.model.student)
        return generation

    def _trainer(self, teachers: list[int], compile_arguments: dict[str, Any]) -> _Trainer:
        key = tuple(self.generations[number].given for number in teachers)
        if key not in self._trainers:
            models = [self._first_model if given else self._build() for given in key]
            model = BornAgainModel(
                self._build(),
                teacher=models or None,
                objective=self.objective,
                label_weight=self.label_weight,
                temperature=self.temperature,
            )
            optimizer = compile_arguments.pop("optimizer", "rmsprop")
            if callable(optimizer):
                optimizer = optimizer()
            elif isinstance(optimizer, keras.optimizers.Optimizer):
                optimizer = type(optimizer).from_config(optimizer.get_config())
            model.compile(optimizer=optimizer, **compile_arguments)
            self._trainers[key] = _Trainer(model, models)
        return self._trainers[key]

    def _write(self, generation: Generation, model: keras.Model) -> None:
        folder = _folder(generation.number)
        finished = dict(self.directory.facts.get("generations", {}))
        finished[str(generation.number)] = {
            "taught_by": generation.taught_by,
            "teachers": [
                self.directory.digest(f"{_folder(number)}/model.keras")
                for number in self.teachers_of(generation.number)
                if not self.generations[number].given
            ],
        }
        self.directory.commit(
            {
                f"{folder}/model.keras": model_bytes(model),
                f"{folder}/history.csv": training.to_csv(generation.history),
                f"{folder}/timings.csv": training.to_csv(generation.timings),
            },
            facts={"generations": finished},
            remove=self.directory.names(f"{folder}/checkpoint-")
            + self.directory.names(f"{folder}/best-"),
        )

    def _read(self, number: int) -> Generation | None:
        """Reads a finished generation; None if the directory has none of that number."""
        if self.directory is None:
            return None
        facts = self.directory.facts.get("generations", {}).get(str(number))
        if facts is None:
            return None
        folder = _folder(number)
        for teacher, digest in zip(self.teachers_of(number), facts["teachers"], strict=False):
            if self.directory.digest(f"{_folder(teacher)}/model.keras") != digest:
                raise RunDirectoryError(
                    f"Generation {number} in {self.directory.path} learnt from another generation "
                    f"{teacher} than the one that is there now; start anew in another directory."
                )
        logging.info("Generation %d is finished; it is read, not trained again.", number)
        model = model_from_bytes(self.directory.read(f"{folder}/model.keras"))
        rows = {
            name: _read_csv(self.directory.read(f"{folder}/{name}.csv"))
            for name in ("history", "timings")
        }
        return Generation(
            number, facts["taught_by"], model.get_weights(), rows["history"], rows["timings"]
        )


class _Trainer:
    """A student and its teachers, traced once and set anew for each generation."""

    def __init__(self, model: BornAgainModel, teachers: list[keras.Model]):
        self.model = model
        self.teachers = teachers
        model.optimizer.build(model.trainable_variables)
        self._initial = checkpoints.capture(model)

    def begin(self, fresh: keras.Model, teachers: list[Generation]) -> None:
        """Puts everything in the state in which a training starts."""
        checkpoints.restore(self.model, self._initial)
        for variable, value in zip(self.model.student.variables, fresh.variables, strict=True):
            variable.assign(value)
        for model, generation in zip(self.teachers, teachers, strict=True):
            model.set_weights(generation.weights)
        self.model.stop_training = False


def model_bytes(model: keras.Model) -> bytes:
    """Returns the content of the `.keras` file of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def model_from_bytes(content: bytes) -> keras.Model:
    """Loads a model from the content of a `.keras` file, with Keras's safe mode on."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        path.write_bytes(content)
        return keras.models.load_model(path, compile=False, safe_mode=True)


def _builder(build: Callable[[], keras.Model] | keras.Model) -> Callable[[], keras.Model]:
    if not isinstance(build, keras.Model):
        return build
    if not isinstance(build, keras.Sequential) and getattr(build, "inputs", None) is None:
        raise ValueError(
            "`build` is a subclassed model, which Keras cannot clone; give a function that "
            "returns a fresh model instead."
        )
    return lambda: keras.models.clone_model(build)


def _check_settings(directory: RunDirectory, settings: Mapping[str, Any]) -> None:
    settings = json.loads(json.dumps(settings))
    before = directory.facts.get("settings")
    if before is None:
        directory.commit(facts={"settings": settings})
        return
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


def _callbacks_for(callbacks: Any, number: int) -> Callable[[list[dict]], Any]:
    if callbacks is None:
        return lambda rows: ()
    if callable(callbacks):
        return lambda rows: callbacks(number, rows)
    return lambda rows: callbacks


def _folder(number: int) -> str:
    return f"generation-{number}"


def _in_words(teachers: list[int]) -> str:
    if not teachers:
        return "labels"
    if len(teachers) == 1:
        return f"generation {teachers[0]}"
    return f"generations {teachers[0]}-{teachers[-1]}"


def _read_csv(content: bytes) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(content.decode()))
    return [{name: float(value) for name, value in row.items() if value} for row in rows]
