"""Models that prepare their own input, such as KerasHub's tasks with a `preprocessor`.

Such a model takes raw input (images of any size, text) in `fit`, `evaluate` and `predict`, and maps
its `preprocess_samples` over the data; called directly, it takes prepared input. Any model with a
`preprocessor` that is not None and a method `preprocess_samples(x, y=None, sample_weight=None)`
counts as one. Here the data is prepared for a student and each of its teachers: a teacher with the
same preparation uses the student's input, any other one gets the raw input through its own
preprocessor, or the raw input itself if it has none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from ban_tf.compat import fingerprint
from ban_tf.compat.array_batches import Slices, as_fed, as_text
from ban_tf.errors import InputError

_TEACHERS = "teacher_inputs"
_LABELS = "labels"


class Inputs(NamedTuple):
    """A batch for a student and its teachers.

    Attributes:
        student: The student's input.
        teachers: The inputs of teachers with another preparation, by their index.
    """

    student: Any
    teachers: dict[str, Any]

    def of(self, number: int) -> Any:
        """Returns the input of a teacher."""
        return self.teachers.get(str(number), self.student)


def of(model: Any) -> Callable[..., Any] | None:
    """Returns the function with which a model prepares a batch; None if it has none."""
    if getattr(model, "preprocessor", None) is None:
        return None
    prepare = getattr(model, "preprocess_samples", None)
    return prepare if callable(prepare) else None


def same(first: keras.Model, second: keras.Model) -> bool:
    """Returns whether two models prepare their input in the same way."""
    if of(first) is None or of(second) is None:
        return of(first) is of(second)
    if type(first).preprocess_samples is not type(second).preprocess_samples:
        return False
    ours, theirs = first.preprocessor, second.preprocessor
    if ours is theirs or not isinstance(ours, keras.Layer) or not isinstance(theirs, keras.Layer):
        return ours is theirs
    return fingerprint.of_model(ours) == fingerprint.of_model(theirs)


def inputs_and_labels(inputs: Any, labels: Any) -> tuple[Any, Any]:
    """Splits a batch of `Preparation` into inputs and labels.

    Returns:
        The inputs, as `Inputs` if teachers have their own, and the labels as the user gave them.
    """
    if not (isinstance(labels, dict) and _TEACHERS in labels):
        return inputs, labels
    return Inputs(inputs, labels[_TEACHERS]), labels.get(_LABELS)


class Preparation:
    """Prepares the data of a student and its teachers.

    Args:
        student: The model that is trained, evaluated or used for prediction.
        teachers: Its teachers.

    Attributes:
        alone: The same without teachers.
    """

    def __init__(self, student: keras.Model, teachers: Sequence[keras.Model] = ()):
        self.alone = Preparation(student) if teachers else self
        self._student = of(student)
        self._teachers = {
            str(number): of(model)
            for number, model in enumerate(teachers)
            if not same(student, model)
        }

    @property
    def needed(self) -> bool:
        """Whether any model prepares its input."""
        return bool(self._student or self._teachers)

    @property
    def differs(self) -> bool:
        """Whether a teacher has another input than the student."""
        return bool(self._teachers)

    def batch(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Prepares a batch.

        Returns:
            What `keras.utils.pack_x_y_sample_weight` returns. Inputs of teachers are packed with
            the labels, see `inputs_and_labels`.

        Raises:
            ValueError: The preprocessor of a teacher creates labels other than the student's.
        """
        raw = x
        if self._student:
            packed = self._student(as_text(x), y, sample_weight)
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(packed)
        if self._teachers:
            beside = {} if y is None else {_LABELS: y}
            y = {
                **beside,
                _TEACHERS: {
                    number: _inputs_alone(prepare, raw) if prepare else raw
                    for number, prepare in self._teachers.items()
                },
            }
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def data(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        shuffle: bool = False,
    ) -> Any:
        """Returns data for `fit`, prepared batch by batch.

        Args:
            x: As for `fit`: arrays or lists, or whole batches from a `tf.data.Dataset`, a
                `keras.utils.PyDataset` or a generator.
            y: As for `fit`.
            sample_weight: As for `fit`.
            batch_size: The batch size for arrays; 32 if None.
            shuffle: Whether arrays are shuffled in each epoch.

        Raises:
            ValueError: `x` is something else.
        """
        if hasattr(x, "element_spec") and hasattr(x, "map"):
            return x.map(lambda *batch: self.batch(*batch), num_parallel_calls=-1)
        if isinstance(x, keras.utils.PyDataset):
            return _PreparedBatches(x, self)
        if inspect.isgenerator(x):
            return self._generated(x)
        return self._sliced((x, y, sample_weight), batch_size or 32, shuffle)

    def _generated(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield self.batch(*batch) if isinstance(batch, tuple) else self.batch(batch)

    def _sliced(self, given: tuple, batch_size: int, shuffle: bool) -> Any:
        # Not within `tf.data`, where KerasHub's preprocessors round differently than in `predict`
        # on arrays.
        return _PreparedBatches(Slices(given, batch_size, shuffle), self)


class _PreparedBatches(keras.utils.PyDataset):
    """A `PyDataset` that prepares its batches when they are read."""

    def __init__(self, batches: keras.utils.PyDataset, preparation: Preparation):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self._batches, self._preparation = batches, preparation

    @property
    def num_batches(self) -> int | None:
        return self._batches.num_batches

    def __getitem__(self, index: int) -> Any:
        batch = self._batches[index]
        batch = self._preparation.batch(*(batch if isinstance(batch, tuple) else (batch,)))
        return as_fed(batch)

    def on_epoch_begin(self) -> None:
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._batches.on_epoch_end()


def _inputs_alone(prepare: Callable[..., Any], x: Any) -> Any:
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(prepare(as_text(x)))
    if labels is not None or weights is not None:
        raise InputError(
            "The preprocessor of `teacher` creates labels or sample weights from the input, and "
            "differs from the student's, so that it is unknown which labels count; give both "
            "the same preprocessor, or set `preprocessor` to None and prepare the data yourself."
        )
    return inputs
