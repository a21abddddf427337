"""The generational loop: trains one generation after another, each on its teachers.

Generation 0 is trained on labels; generation k >= 1 starts from fresh weights and is trained on
the outputs of earlier ones (Furlanello et al., 2018). On resume, finished generations are read
and never trained again; an unfinished one continues from its newest checkpoint; all others
start fresh.

Models are built once and reused by every generation of equal shape: only their variables are
reset, so that nothing is traced twice and memory does not grow with the generations.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
from absl import logging

from ban_tf import objectives
from ban_tf.compat import copies, fingerprint, shared_weights
from ban_tf.compat import model_checks as checks
from ban_tf.distribution.workers import Workers, current
from ban_tf.lineage import checks as lineage_checks
from ban_tf.lineage import collapse, recipe
from ban_tf.lineage.results import TrainedGenerations
from ban_tf.runs import generations, kept
from ban_tf.runs.generations import Generation, check_last, check_settings, teachers_text
from ban_tf.runs.history import MONITOR
from ban_tf.runs.rundir import RunDirectory, open_shared
from ban_tf.system import seeds
from ban_tf.training import array_epochs, training
from ban_tf.training.trainer import Trainers


class Lineage(TrainedGenerations):
    """Trains a network, then fresh copies of it, each distilled from earlier generations.

    Example:
        ```python
        lineage = ban_tf.Lineage(my_model, generations=3, objective="dkpp", directory="runs/mine")
        lineage.fit(x, y, validation_data=validation, epochs=30, compile={"optimizer": make})
        print(lineage)
        lineage.ensemble().predict(x_test)
        ```

    Args:
        build: A function that returns a fresh model, or a model that Keras can clone (a
            Functional or Sequential one); every generation is a new copy of it.
        generations: Born-again generations after generation 0.
        objective: See `BornAgainModel`; "kd+labels" by default: distillation plus the label loss.
        directory: Directory for checkpoints; an existing run there is resumed. None keeps
            everything in memory.
        teacher: "previous" (the generation before), "ensemble" (all before it, averaged) or
            "first" (always generation 0).
        first_model: A pretrained model to use as generation 0.
        first_teacher: A teacher of generation 0, which else learns from labels; any that
            `BornAgainModel` takes, such as `RecordedTeacher(path)`.
        label_weight: See `BornAgainModel`.
        temperature: See `BornAgainModel`.
        keep: "last" or "best": which epoch's weights a generation keeps.
        monitor: The validation accuracy of the best epoch and of `chance`, such as
            "val_balanced_accuracy"; by default the one that there is.
        chance: Validation accuracy of chance. A generation that is no better has collapsed, and
            is not used as a teacher if there is a better one. Any accuracy metric is accepted,
            if it is the only one. None disables the check.
        on_divergence: "stop" when a loss becomes NaN or infinite, or "retry" once from the last
            checkpoint at a tenth of the learning rate (in a `directory` only).
        student_build: Builds generations 1, 2, ...; by default `build` does.
        as_saved: Returns the model to save for a trained one, such as a backbone with that head.
        teacher_precision: Dtype policy of the online teacher, independent of the student's, with
            batch normalization folded (see `layers.fold`). None uses the teacher unchanged.
        share_ends: Whether students use the teacher's first and last layer, frozen.
        stop: Called with the lineage after each born-again generation; True ends the lineage.
        seed: Seed of all randomness.
        recorded: Whether the batches contain the teacher's logits, as for `RecordedTeacher`.
        settings: Further settings that must be equal to resume a run in `directory`. Networks,
            arguments and data must be equal in any case; see `recipe`.
        defaults: Values assumed for settings that older runs did not record. If given, only
            `settings` must be equal.
        workers: The workers of this training; by default those of the strategy in scope.
        **student: Further arguments of `BornAgainModel`, such as `teacher_weight`.

    Raises:
        InputError: An argument is unknown, has the wrong type or is out of range; or the networks
            of `build` cannot be distilled into each other, share weights that training changes, or
            differ in more than their weights.
        RunDirectoryError: The directory cannot be used, or holds a run with other settings.
    """

    def __init__(
        self,
        build: Callable[[], keras.Model] | keras.Model,
        generations: int = 3,
        objective: Any = "kd+labels",
        directory: str | os.PathLike | RunDirectory | None = None,
        *,
        teacher: str = "previous",
        first_model: keras.Model | None = None,
        first_teacher: Any = None,
        label_weight: float | None = None,
        temperature: float | None = None,
        keep: str = "last",
        monitor: str | None = None,
        chance: float | None = None,
        on_divergence: str = "stop",
        student_build: Callable[[], keras.Model] | keras.Model | None = None,
        as_saved: Callable[[keras.Model], keras.Model] | None = None,
        teacher_precision: str | None = None,
        share_ends: bool = False,
        stop: Callable[[Lineage], bool] | None = None,
        seed: int = 0,
        recorded: bool = False,
        settings: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        workers: Workers | None = None,
        **student: Any,
    ):
        given = {name: value for name, value in locals().items() if name != "self"}
        lineage_checks.check_arguments(given)
        self._build = copies.as_model_factory(build)
        self._student_build = (
            self._build
            if student_build is None
            else copies.as_model_factory(student_build, "student_build")
        )
        self.number_of_generations = int(generations)
        self.objective = objective
        self.teacher = teacher
        self.label_weight = label_weight
        self.temperature = temperature
        self.keep = keep
        self.monitor = monitor
        self.chance = chance
        self.on_divergence = on_divergence
        self.teacher_precision = teacher_precision
        self.share_ends = share_ends
        self._stop = stop
        self._as_saved = as_saved or (lambda model: model)
        self.seed = int(seed)
        self._student = student
        self.recorded = recorded
        self._first_model = first_model
        self._first_teacher = first_teacher
        self._needs_teacher = getattr(objectives.resolve(objective)[0], "needs_teacher", True)
        shared: dict[str, Any] = {
            "first_model": first_model,
            "first_teacher": first_teacher,
            "share_ends": share_ends,
            "teacher_precision": teacher_precision,
            "recorded": recorded,
            "objective": objective,
            "label_weight": label_weight,
            "temperature": temperature,
            **student,
        }
        networks = lineage_checks.check_networks(
            self._build, self._student_build, generations=self.number_of_generations, **shared
        )
        self._output_count = collapse.output_count(networks.values())
        self._workers = workers or current()
        self._compile: Callable[[int], Mapping[str, Any]] = lambda epochs: {}
        self.generations: list[Generation] = []
        self._trainers = Trainers(
            expects_teacher=bool(self.number_of_generations and self._needs_teacher), **shared
        )
        self._starts: list[str] = []
        self.directory = (
            open_shared(directory, self._workers)
            if isinstance(directory, (str, os.PathLike))
            else directory
        )
        self._notes_recipe = self.directory is not None and defaults is None
        if self.directory is not None:
            try:
                self._check_run(self.directory, given, networks)
            except BaseException:
                if self.directory is not directory:  # opened here: release its lock
                    self.directory.close()
                raise
        if first_model is not None:
            weights = first_model.get_weights()
            self.generations.append(Generation(0, "given", weights, [], [], pretrained=True))

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        epochs: int = 1,
        compile: Mapping[str, Any] | Callable[[int], Mapping[str, Any]] | None = None,
        callbacks: Any = None,
        examples_per_epoch: int | None = None,
        checkpoint_steps: int | None = None,
        verbose: Any = "auto",
        **fit: Any,
    ) -> Lineage:
        """Trains the generations that are not finished yet.

        With a directory, each epoch is saved, and Ctrl-C, SIGTERM and SIGHUP save before they stop.
        A resumed run is bit-identical to an uninterrupted one, provided that versions, threads and
        processor are equal (it warns if they are not), and the data order is: that of arrays
        follows from the seed, and a function is called for each epoch.

        Args:
            x: As for `model.fit`, or a function `(generation, epoch, step) -> x` that returns the
                data of an epoch from that step on, both counted from 0. It is called for each
                epoch, and its order is kept unless `shuffle=True`; without `steps_per_epoch`,
                every epoch must have the same number of batches. If it returns an infinite
                `tf.data.Dataset` (or `PyDataset`), it is called once and the stream continues
                through all epochs. With such a function and `steps_per_epoch`, training resumes
                within an epoch. If `recorded`, it also gets the `OnlineTeacher` to record (or
                None), and `validation_data` is such a function, `(generation, teacher)`.
            y: As for `model.fit`.
            epochs: Epochs of each generation that has not started yet.
            compile: Arguments for `compile`, or a function of the epochs that returns them;
                "optimizer" may be a function that returns one.
            callbacks: A list used by every generation, or a function of the generation's number
                that returns one, `(generation)` or `(generation, rows so far)`; [] for none. The
                state of a callback, such as the patience of `EarlyStopping`, is not saved: it
                starts again in a resumed run, unless it is computed from the rows.
            examples_per_epoch: For the throughput, if known.
            checkpoint_steps: Steps between checkpoints within an epoch; None saves at its end only.
            verbose: As for `model.fit`; unless it is 0, each generation is announced.
            **fit: Further arguments of `model.fit`.

        Returns:
            The lineage itself.

        Raises:
            DivergenceError: The loss became NaN or infinite.
            Interrupted: Ctrl-C, SIGTERM or SIGHUP was received; everything is saved.
            RunDirectoryError: The run in the directory cannot be resumed.
            SaveError: The directory can no longer be written.
            InputError: An argument has the wrong type or is out of range; the data is empty,
                ends before the epochs do, or is a generator, which is exhausted after one
                generation.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "fit")}
        lineage_checks.check_fit(given, fit, self.directory)
        self._compile = functools.partial(lineage_checks.compile_arguments, compile)
        if self.number_of_generations:
            checks.check_lasting(x, fit)
        if y is not None:
            fit["y"] = y
        x, fit = kept.split(x, fit)
        if self.chance is not None:
            collapse.check_measured(fit, self._compile(epochs), self._output_count)
        if self._notes_recipe:
            with self._workers.scope():
                recipe.check_fit(self.directory, x, fit, epochs, self._compile, verbose)
        arrays, options = (None, fit) if callable(x) else array_epochs.separate(x, fit)
        for number in range(len(self.generations), self.number_of_generations + 1):
            generation = self._read(number, epochs)
            if verbose:
                taught_by = self._taught_by(number)
                there = "" if generation is None else ": finished before"
                last = self.number_of_generations
                print(f"Generation {number} of {last}, taught by {taught_by}{there}", flush=True)
            if generation is None:
                generation = self._train(
                    number,
                    array_epochs.batches_of(number, x, arrays, self.seed),
                    arrays=None if arrays is None else (x, fit),
                    epochs=epochs,
                    compile=compile,
                    callbacks=training.callbacks_for(callbacks, number),
                    examples_per_epoch=examples_per_epoch,
                    by_epoch=callable(x) or arrays is not None,
                    checkpoint_steps=checkpoint_steps,
                    verbose=verbose,
                    **options,
                )
            if generation.collapsed:
                logging.warning(
                    "Generation %d is no better than chance on the validation data; it is not used "
                    "as a teacher if there is a better one.",
                    number,
                )
            self.generations.append(generation)
            if number and self._stop is not None and self._stop(self):
                break
        return self

    def _teacher_builder(self, number: int) -> Callable[[], keras.Model] | None:
        """Returns the function that builds a teacher; None for a pretrained model."""
        return None if self.generations[number].pretrained else self.builder(number)

    def teachers_of(self, number: int) -> list[int]:
        """Returns the numbers of a generation's teachers."""
        if number == 0 or not self._needs_teacher:
            return []
        before = self.generations[:number]
        able = [earlier.number for earlier in before if not earlier.collapsed]
        able = able or [earlier.number for earlier in before]
        return {"previous": able[-1:], "ensemble": able, "first": able[:1]}[self.teacher]

    def _taught_by(self, number: int) -> str:
        given = not number and self._first_teacher is not None
        return "a given teacher" if given else teachers_text(self.teachers_of(number))

    def _check_run(self, run: RunDirectory, given: dict[str, Any], networks: Any) -> None:
        """Checks that the run in the directory can be continued with these arguments."""
        check_settings(run, given["settings"] or {}, given["defaults"] or {})
        check_last(run, given["generations"])
        lineage_checks.check_savable(networks)
        if self._notes_recipe:
            recipe.agree(run, recipe.of_lineage(given, networks), first=True)

    def _train(
        self,
        number: int,
        batches: Callable[..., Any],
        *,
        arrays: tuple[Any, Mapping[str, Any]] | None,
        epochs: int,
        compile: Any,
        **options: Any,
    ) -> Generation:
        teachers = self.teachers_of(number)
        if self.directory is not None:
            epochs = generations.begin(self.directory, number, epochs, self._digests(teachers))
        with self._workers.scope():
            trainer = self._trainers.get(
                self.builder(number),
                [self._teacher_builder(teacher) for teacher in teachers],
                self._compile,
                epochs,
                by_epochs=callable(compile),
                first=number == 0,
            )
        fresh = self._fresh_model(number)
        trainer.begin(fresh, [self.generations[index] for index in teachers], self._workers.scope)
        shared_weights.restart_shared_seeds(
            trainer.model.student, fresh, seeds.derive_seed(self.seed, "shared", number)
        )
        trainer.model.seed = seeds.derive_seed(self.seed, "objective", number)
        if arrays is not None:  # `fit` gets them batch by batch
            trainer.model.check_fit(*arrays)
        online = [trainer.online_teacher] if self.recorded else []
        if online and callable(options.get("validation_data")):
            options["validation_data"] = options["validation_data"](number, *online)
        outcome = training.train(
            trainer.model,
            lambda epoch, step: batches(epoch, step, *online),
            epochs=epochs,
            keep=self.keep,
            monitor=self.monitor or MONITOR,
            directory=self.directory,
            folder=generations.folder(number),
            on_divergence=self.on_divergence,
            workers=self._workers,
            **options,
        )
        self._workers.check_equal(outcome.weights, f"Generation {number}")
        generation = Generation(
            number,
            self._taught_by(number),
            outcome.weights,
            outcome.history,
            outcome.timings,
            collapsed=collapse.has_collapsed(outcome.kept, self.chance, self.monitor),
            kept=outcome.kept,
        )
        if self.directory is not None and self.directory.writes:
            # Not `trainer.model`: under a strategy that is built with the per-replica batch size.
            fresh.set_weights(outcome.weights)
            generations.write(self.directory, generation, self._as_saved(fresh))
        return generation

    def _fresh_model(self, number: int) -> keras.Model:
        """Builds a generation's network, with initial weights of its own."""
        with seeds.seeded(seeds.derive_seed(self.seed, "weights", number)):
            fresh = self.builder(number)()
        self._starts.append(fingerprint.of_weights(fresh.get_weights()))
        if self._starts.count(self._starts[-1]) > 1:
            logging.warning(
                "Generation %d has the same initial weights as an earlier generation: `build` sets "
                "a seed. Remove it to get fresh weights.",
                number,
            )
        return fresh

    def _read(self, number: int, epochs: int) -> Generation | None:
        """Reads a finished generation; returns None if it does not exist."""
        if self.directory is None or number not in generations.finished(self.directory):
            return None
        before = generations.epochs_of(self.directory, number)
        if before != epochs:
            logging.warning(
                "Generation %d was trained for %d epochs, and is not trained again.", number, before
            )
        teachers = self._digests(self.teachers_of(number))
        build = self.builder(number)
        return generations.read(self.directory, number, teachers, build, self._as_saved)

    def _digests(self, numbers: list[int]) -> dict[int, str]:
        return {number: self.generations[number].digest() for number in numbers}
