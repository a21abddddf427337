"""The interface between a task and the runner.

A task provides data and networks; `runner.run` trains the generations, evaluates them and
writes the reports. A new task is one class in one file, and a `Declaration`; see
`config.registry` for how the command line finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from ban_tf.config import registry
from ban_tf.distillation import analysis
from ban_tf.errors import InputError
from ban_tf.report import progress
from ban_tf.tasks import finished_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ban_tf.config.options import Options
    from ban_tf.distribution.workers import Workers
    from ban_tf.lineage.lineage import Lineage
    from ban_tf.runs.reading import RunReader
    from ban_tf.runs.rundir import RunDirectory


class Predictions(NamedTuple):
    """Predictions as a command prints them.

    Attributes:
        headings: The headings of the table of `--csv`.
        rows: Its cells.
        lines: The lines printed on the screen.
        bad: Sentences on files that cannot be read, and have no prediction.
        masks: The path of each image and its predicted mask, a PNG, of a task that predicts masks.
    """

    headings: list[str]
    rows: list[list[Any]]
    lines: list[str]
    bad: Sequence[str] = ()
    masks: Sequence[tuple[str, bytes]] = ()


class ServedData(NamedTuple):
    """Data of a run as one of its exported models takes it.

    Attributes:
        training: Some training examples, `[examples, ...]`.
        test: Returns the batches of the test examples.
        labels: The true classes of these, integers `[examples]`; or numbers, floats.
    """

    training: np.ndarray
    test: Callable[[], Iterator[np.ndarray]]
    labels: np.ndarray


class Task:
    """A dataset and its networks, on which generations can be trained.

    The best epoch of a generation is that of the highest `--monitor`, then of the lowest
    validation loss on labels; for a task without an accuracy only the loss counts.

    Args:
        options: The options of the run.
        workers: The workers of this training.

    Attributes:
        declaration: The declaration of the task.
        shown: The Keras logs that the progress shows, in this order.
        analysis: The callback of `--analyse`, a subclass of `analysis.Analysis`.
        recorded: Whether the training batches contain the teacher's logits.
        kind: The kind of its results, one of `kinds.KINDS`; None for classifiers.
        validation_metric: The metric of `validation_scores`.
        finished: The module for finished runs: `evaluate`, `predict`, `probabilities` and `served`,
            which take the run first, perhaps `final_row` and `served_data`; or methods named so.
        takes_lines: Whether `predict` can take each line of a file by itself.
        predicts_masks: Whether `predict` returns masks.
        output_kind: What the outputs of its networks are; see `ensemble`.
        given: The network of `--teacher_from` to store as generation 0, as `first_model` sets it.
    """

    shown: tuple[str, ...] = progress.SHOWN
    analysis: type[analysis.Analysis] = analysis.Analysis
    recorded = False
    kind: str | None = None
    output_kind: str = "categorical"
    validation_metric: str = "error"
    finished: ModuleType | None = None
    takes_lines = False
    predicts_masks = False
    given: keras.Model | None = None

    def __init__(self, options: Options, workers: Workers):
        self.options = options
        self.workers = workers
        self.declaration = registry.of(options.dataset)

    # Data.

    def load(self) -> None:
        """Loads the data; called once, before any other method.

        Raises:
            InputError: It cannot be loaded.
        """
        raise NotImplementedError

    def open(self, directory: RunDirectory) -> None:
        """Called after the run directory is opened and before networks are built."""

    def describe(self) -> str:
        """Returns a description of the data for the screen: its name and size."""
        raise NotImplementedError

    def remarks(self) -> list[str]:
        """Returns further sentences about the data for the screen."""
        return []

    def identity(self) -> Mapping[str, Any]:
        """Returns a fingerprint of the data, independent of its path; a resumed run checks it.

        It must include a fingerprint of the content (see `datasets.content`).
        """
        raise NotImplementedError

    def files(self) -> Mapping[str, bytes]:
        """Returns files for the run directory that are needed to use its models later."""
        return {}

    def steps_per_epoch(self) -> int:
        """Returns the number of batches in an epoch.

        Raises:
            InputError: There are fewer examples than in a batch.
        """
        raise NotImplementedError

    def examples_per_step(self) -> int:
        """Returns the number of examples in a step, for the throughput."""
        return self.options.batch_size

    def training_batches(self, generation: int, epoch: int, step: int, *teacher: Any) -> Any:
        """Returns training data from a step of an epoch on, as `Lineage.fit` takes it.

        Its order must only depend on the arguments and the seed, so that a resumed run is
        bit-identical to an uninterrupted one.

        Args:
            generation: Its number.
            epoch: The epoch, from 0.
            step: The step in that epoch, from 0.
            *teacher: The teacher to record, or None, if `recorded`.
        """
        raise NotImplementedError

    def validation_batches(self) -> Any:
        """Returns the validation data, as `Lineage.fit` takes it; None if there is none."""
        raise NotImplementedError

    def analyzed_batches(self) -> Any:
        """Returns some training examples in a fixed order, for `--analyse`."""
        raise NotImplementedError

    def named(self) -> dict[str, str]:
        """Returns the setting that names the task, where the name of the dataset does not."""
        if not self.options.dataset.startswith(f"{registry.CSV}:"):
            return {}
        # Runs on lists of images do not name it, in this version or before.
        name = self.declaration.name
        return {} if name == "image_classification" else {"task": name}

    # Networks and their training.

    def build(self, network: str) -> keras.Model:
        """Builds a fresh network that ends in logits `[batch, ..., classes]`, or in probabilities.

        Args:
            network: Its name, as `Declaration.resolve` returned it.
        """
        raise NotImplementedError

    def build_first(self) -> keras.Model:
        """Builds the network that generation 0 trains; by default that of `--arch`."""
        return self.build(self.options.arch)

    def build_student(self) -> keras.Model:
        """Builds the network that born-again generations train, if it is another one."""
        return self.build(self.options.architectures[-1])

    def as_saved(self, model: keras.Model) -> keras.Model:
        """Returns the model to save for a trained one, whose layers it has."""
        return model

    def settings_of(self, network: str) -> dict[str, Any]:
        """Returns the architecture flags that are set and that the network has."""
        known = self.declaration.settings(network)
        chosen = self.options.architecture_settings()
        return {name: value for name, value in chosen.items() if name in known}

    def flag_of(self, network: str) -> str:
        """Returns the flag that names a network: "arch" or "student_arch"."""
        return "arch" if network == self.options.arch else "student_arch"

    def ensemble_member(self, lineage: Lineage, number: int) -> keras.Model:
        """Returns a generation as a member of the saved ensemble."""
        return lineage.model(number)

    def saved_ensemble(self, mean: keras.Model) -> keras.Model:
        """Returns the model to save for the average of members, whose layers it has."""
        return mean

    def first_model(self) -> keras.Model | None:
        """Returns the pretrained model to use as generation 0, if any."""
        return None

    def first_teacher(self) -> tuple[Any, str] | None:
        """Returns the teacher of generation 0 and what identifies it, if it has one."""
        return None

    def lineage_arguments(self, first_model: keras.Model | None) -> dict[str, Any]:
        """Returns further arguments for `Lineage`, such as `chance`."""
        return {}

    def compile_arguments(self) -> dict[str, Any]:
        """Returns arguments for `compile`: the label `loss` and `weighted_metrics`."""
        raise NotImplementedError

    def callbacks(self, generation: int, rows: list[dict]) -> list[keras.callbacks.Callback]:
        """Returns the task's own callbacks, for every worker.

        Args:
            generation: Its number.
            rows: The history of its epochs so far.
        """
        return []

    # Evaluation.

    def improved(self, lineage: Lineage) -> bool:
        """Returns whether the last generation improved on the one before, by validation data."""
        raise NotImplementedError

    def rows(
        self, lineage: Lineage, groups: list[list[int]], directory: RunDirectory
    ) -> list[dict[str, Any]]:
        """Evaluates generations and ensembles on the test data.

        Args:
            lineage: A finished lineage.
            groups: The generations whose predictions are averaged: first each generation by
                itself, then the ensembles.
            directory: The run directory, in which predictions may be stored.

        Returns:
            For each group the metrics of `metrics.summary`, and others of the task's own.
        """
        raise NotImplementedError

    def validation_scores(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the result of generations and of their averages on validation data.

        By these, `predict` and `export` choose a model.

        Args:
            lineage: A finished lineage.
            groups: The generations whose predictions are averaged, for each result.

        Returns:
            The metric by which the summary compares (for text perplexity), for each group; None
            without validation data.
        """
        return None

    @classmethod
    def final_row(cls, run: RunReader, student: RunReader) -> dict[str, Any]:
        """Returns the metrics of a final student, and its change against generation 0 of a run.

        Here they are those of classifiers, or of predicted numbers, that are kept.

        Args:
            run: The run.
            student: That of the final student, which is its generation 1.

        Raises:
            RunDirectoryError: A file is missing or damaged.
        """
        return getattr(cls.finished, "final_row", finished_runs.final_row)(run, student)

    def keep_test(self, directory: RunDirectory) -> None:
        """Stores the test data that a report needs; called after `rows`."""

    def figures(self) -> Mapping[str, Mapping[int, Figure]]:
        """Returns figures for TensorBoard, by tag and generation; called after `rows`."""
        return {}

    # Finished runs on new data, by the functions of these names in `finished`.

    @classmethod
    def _for(cls, run: RunReader, function: str, what: str) -> Callable[..., Any]:
        found = getattr(cls.finished, function, None)
        if found is None:
            raise InputError(f"{run.path} cannot be {what}: its task does not support that.")
        return found

    @classmethod
    def evaluate(cls, run: RunReader, dataset: str, **how: Any) -> dict[str, Any]:
        """Evaluates the generations of a run on the test part of a dataset.

        Args:
            run: The run.
            dataset: As `--dataset`.
            **how: How the data is read, such as `data_dir`; None or False is the default.

        Returns:
            A summary; see `metrics.summary`.

        Raises:
            InputError: The data cannot be used, or the task has no such command.
        """
        evaluate = cls._for(run, "evaluate", "evaluated on other data")
        return evaluate(run, dataset, **{name: value for name, value in how.items() if value})

    @classmethod
    def probabilities(cls, run: RunReader, inputs: Any, which: str) -> np.ndarray:
        """Predicts probabilities, float64 `[examples, classes]`, for raw inputs.

        Args:
            run: The run.
            inputs: Raw inputs, before any preprocessing.
            which: "ensemble", or the number of a generation.

        Raises:
            InputError: The inputs cannot be used, or the task has no such command.
        """
        return cls._for(run, "probabilities", "used for predictions")(run, inputs, which)

    @classmethod
    def predict(
        cls, run: RunReader, files: Sequence[str], which: str, top: int | None, **options: Any
    ) -> Predictions:
        """Predicts for the contents of files.

        Args:
            run: The run.
            files: Paths; a task may take folders and patterns, too.
            which: "ensemble", or the number of a generation.
            top: How many of the most likely results to return; None for the task's default.
            **options: Further ones of the task, such as `lines` (see `takes_lines`).

        Raises:
            InputError: A file cannot be read, or the task has no such command.
        """
        return cls._for(run, "predict", "used for predictions")(run, files, which, top, **options)

    @classmethod
    def served(
        cls, run: RunReader, which: str, preprocessing: bool, to: str
    ) -> tuple[keras.Model, dict[str, Any]]:
        """Returns a model for export, and its inputs and outputs for the manifest.

        Args:
            run: The run.
            which: "ensemble", or the number of a generation.
            preprocessing: Whether the model takes raw data and returns probabilities.
            to: The format, one of `export.FORMATS`.

        Raises:
            InputError: The model does not exist, or the task has no such command.
        """
        return cls._for(run, "served", "exported")(run, which, preprocessing, to)

    @classmethod
    def served_data(
        cls,
        run: RunReader,
        preprocessing: bool,
        dataset: str | None = None,
        data_dir: str | None = None,
    ) -> ServedData:
        """Returns the data of a run as `served` models take it, to quantize and measure them.

        Args:
            run: The run.
            preprocessing: As for `served`.
            dataset: Where the data is now; by default as recorded in the run.
            data_dir: The directory of TFDS data, likewise.

        Raises:
            InputError: The data has gone or changed, or the task has no such command.
        """
        served_data = cls._for(run, "served_data", "quantized")
        return served_data(run, preprocessing, dataset, data_dir)
