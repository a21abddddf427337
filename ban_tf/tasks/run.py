"""`Run`: read access to a run, finished or in progress."""

from __future__ import annotations

import html
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.config import registry
from ban_tf.config.declaration import Declaration
from ban_tf.datasets import names as dataset_names
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs import preferred, reading
from ban_tf.runs.preferred import BEST, ENSEMBLE
from ban_tf.system import flag_names, shown
from ban_tf.system.arguments import check_flag, is_integer
from ban_tf.tasks import class_folder

if TYPE_CHECKING:
    import keras


class Run:
    """A run directory: its models, their predictions, and its results.

    Nothing is locked or written, so that a run in progress can be read, too.

    Example:
        ```python
        run = ban_tf.Run("runs/digits-wrn-16-1-kd+labels-0")
        run.model(2)  # a generation, a plain Keras model
        run.ensemble()  # the average of the born-again generations
        run.predict(images)  # probabilities, by the ensemble
        run.summary["generations"][2]["error"]
        run.compare("runs/other")
        ```

    Args:
        path: The run's directory.

    Raises:
        InputError: `path` is no path.
        RunDirectoryError: There is no run, or its manifest is damaged.
    """

    def __init__(self, path: str | os.PathLike):
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f"`path` must be the directory of a run. Received: {path!r}")
        self.files = reading.RunReader(path)

    def __repr__(self) -> str:
        return f"Run({str(self.files.path)!r})"

    def _repr_html_(self) -> str:
        """The path and the results; notebooks show it for a run at the end of a cell."""
        begin = f"<p>{html.escape(shown.escaped(self.path))}</p>"
        try:
            summary = self.summary
        except RunDirectoryError as error:
            return f"{begin}<p>{html.escape(shown.escaped(error))}</p>"
        from ban_tf.report import table  # SciPy takes a second to import

        return begin + table.as_html(summary)

    @property
    def path(self) -> pathlib.Path:
        """The run's directory."""
        return self.files.path

    @property
    def task(self) -> Declaration:
        """The declaration of the run's task."""
        return registry.of_settings(self.settings)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the run, and the fingerprint of its data."""
        return reading.settings(self.files)

    @property
    def generations(self) -> list[int]:
        """The numbers of the finished generations."""
        return reading.finished_generations(self.files)

    @property
    def history(self) -> dict[int, list[dict[str, float]]]:
        """One row of metrics per epoch, by generation, including an unfinished one."""
        finished = self.generations
        under_way = reading.read_history(self.files, len(finished))
        found = {number: reading.read_history(self.files, number) for number in finished}
        return {**found, len(finished): under_way} if under_way else found

    @property
    def summary(self) -> dict[str, Any]:
        """The results on the test data; see `metrics.summary`.

        Raises:
            RunDirectoryError: The run is not finished.
        """
        return reading.read_summary(self.files)

    @property
    def preferred(self) -> preferred.Preferred:
        """The model of the best result on validation data, "ensemble" or a number, and why."""
        return preferred.of(self.files)

    def model(self, number: int) -> keras.Model:
        """Loads a finished generation, a plain Keras model.

        Args:
            number: The generation, from 0.

        Raises:
            InputError: `number` is not the number of a finished generation.
            RunDirectoryError: Its file is damaged.
        """
        return self._load(number)

    def ensemble(self) -> keras.Model:
        """Loads the average of the born-again generations, a plain Keras model.

        Raises:
            RunDirectoryError: The run is not finished, or the file is damaged.
        """
        return self._load(ENSEMBLE)

    @flag_names.as_arguments()
    def predict(self, inputs: Any, model: int | str = ENSEMBLE) -> np.ndarray:
        """Predicts probabilities for raw inputs, prepared as in training.

        Args:
            inputs: For images uint8 `[examples, height, width, channels]`, or a sequence of paths
                of image files. For text a sequence of lines. For a table a dictionary of columns,
                a data frame, or the path of a file.
            model: "ensemble", the number of a generation, or "best" for the one that validation
                prefers (`preferred`).

        Returns:
            float64 `[examples, classes]`; of labels, that of each, `[examples, labels]`; of masks,
            `[images, height, width, classes]`; of language models, that of the next word,
            `[lines, words]`. Where numbers are predicted, numbers `[examples]`.

        Raises:
            InputError: The model does not exist, or the inputs do not fit it.
        """
        which = self._which(model)
        return self.task.load().probabilities(self.files, inputs, which)

    @flag_names.as_arguments()
    def evaluate(
        self, dataset: str, data_dir: str | None = None, skip_bad_files: bool = False
    ) -> dict[str, Any]:
        """Evaluates the finished generations and their ensembles on the test part of a dataset.

        The network of `--final_student` has no row here, but a run of its own, in the folder
        `final_student-N`. P-values are adjusted for the rows that are compared, of which `summary`
        of such a run has one more: "adjusted_p" and "significant" may differ on equal data.

        Args:
            dataset: As `--dataset`; one file of text is read as a whole, and all images of a
                folder of classes alone are test data (of the run's own folder, its test images).
            data_dir: The directory of TFDS data.
            skip_bad_files: Whether to leave out images that cannot be read, as a run that was
                trained with `--skip_bad_files` always does.

        Returns:
            A summary; see `metrics.summary`.

        Raises:
            InputError: The data cannot be loaded, does not fit the models, or has no use for an
                argument.
        """
        if not isinstance(dataset, str):
            raise InputError(f"`dataset` must be the name of a dataset. Received: {dataset!r}")
        if not self.generations:
            raise InputError(f"{self.files.path} has no finished generation yet.")
        task, wanted = self.task, registry.of(dataset)
        if wanted is not task:
            has, on = wanted.data, task.data
            if has == on:  # another task on the same kind of data
                has, on = (f"{one.data} for {one.name.replace('_', ' ')}" for one in (wanted, task))
            raise InputError(
                f"--dataset={dataset} has {has}, but {self.files.path} was trained on {on}."
            )
        check_use(dataset, data_dir, skip_bad_files)
        if not class_folder.is_alone(dataset):  # whose classes need not be complete
            task.check(dataset)
        how = {"data_dir": data_dir, "skip_bad_files": skip_bad_files}
        return task.load().evaluate(self.files, dataset, **how)

    @flag_names.as_arguments()
    def compare(self, *others: Run | str | os.PathLike, control: str | None = None) -> dict:
        """Compares finished runs over seeds, by paired differences.

        Args:
            *others: Runs on the same data, or their directories.
            control: The name of the group with which the others are also compared.

        Returns:
            The comparison; see `report.comparison.compare`.

        Raises:
            InputError: The runs cannot be compared.
        """
        from ban_tf.report import comparison  # SciPy takes a second to import

        paths: list[str | pathlib.Path] = [self.path]
        paths += [(other if isinstance(other, Run) else Run(other)).path for other in others]
        runs, without_results = comparison.read(paths)
        if without_results:
            raise InputError(f"{', '.join(without_results)}: no results yet; finish it first.")
        return comparison.compare(runs, control)

    def _load(self, model: int | str) -> keras.Model:
        which = self._which(model)
        from ban_tf.runs import inference  # Keras takes seconds to import

        return inference.load(self.files, which)

    def _which(self, model: int | str) -> str:
        numbers: Sequence[int] = self.generations
        if model == BEST:
            return preferred.of(self.files).model
        if model == ENSEMBLE or (is_integer(model) and model in numbers):
            return str(model)
        listed = ", ".join(map(str, numbers)) or "none yet"
        raise InputError(
            f"The model must be {ENSEMBLE!r}, {BEST!r} or the number of a finished generation "
            f"({listed}). "
            f"Received: {model!r}"
        )


def check_use(dataset: str, data_dir: str | None, skip_bad_files: bool) -> None:
    """Checks that `Run.evaluate` has a use for its arguments.

    Raises:
        InputError: One does nothing with this dataset.
    """
    supports = registry.of(dataset).supports
    if data_dir is not None and not ("data_dir" in supports and dataset_names.is_tfds(dataset)):
        raise InputError(
            f"--data_dir={data_dir} does nothing with --dataset={dataset}; it is for TFDS "
            "datasets. Leave it out."
        )
    read = "skip_bad_files" in supports and not dataset_names.is_embedded(dataset)
    if check_flag("skip_bad_files", skip_bad_files) and not read:
        raise InputError(
            f"--skip_bad_files does nothing with --dataset={dataset}; it is for TFDS datasets "
            "and images in files. Leave it out."
        )
