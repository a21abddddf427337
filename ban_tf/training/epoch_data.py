"""Loads new data from a function in each epoch of a single `fit`.

Keras takes one dataset and reads it again in every epoch. `EpochData` calls a function when an
epoch begins, so that one `fit`, with its callbacks, its optimizer and its traced step, gets new
data in each. An infinite stream is passed to Keras directly: it is read on through all epochs,
which keeps its buffers full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from ban_tf.compat import keras_private
from ban_tf.compat.keras_private import DataAdapter
from ban_tf.errors import InputError

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

_ENDLESS = -1  # tf.data.INFINITE_CARDINALITY
# Arguments of `fit` that belong to the training data.
_OF_THE_DATA = ("y", "sample_weight", "batch_size", "shuffle", "class_weight")


def is_stream(x: Any, steps: int | None) -> bool:
    """Returns whether data is an infinite stream, of which each epoch reads the next `steps`.

    Args:
        x: The data that the function returned.
        steps: Batches in an epoch, or None.
    """
    if isinstance(x, DataAdapter):  # an infinite one, see `keras_distribution.as_data`
        return True
    return steps is not None and is_endless(x)


def is_endless(x: Any) -> bool:
    """Returns whether data is known to be infinite."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is None
    cardinality = getattr(x, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == _ENDLESS


def first_batch(x: Any) -> Any:
    """Returns the first batch of data that can be read again."""
    if isinstance(x, keras.utils.PyDataset):
        return x[0]
    return next(iter(x.get_numpy_iterator() if isinstance(x, DataAdapter) else x))


class EpochData(DataAdapter):
    """Loads the data of each epoch when it begins; for `fit` without `steps_per_epoch`.

    Args:
        load: Returns the `x` of `fit`, given the completed epochs and the completed steps of the
            next one.
        position: Returns the present arguments of `load`.
        fit: Arguments of `fit`; those about the data are removed.
        steps: Remaining batches of each epoch, or None for all.
        before: Batches in the epochs before, if known.
        first: The result of `load` for the present position.
        prepare: Prepares data and the arguments about it for a model that prepares its own input.
        strategy: The `tf.distribute.Strategy` of the model, if it has one.

    Raises:
        InputError: There are fewer batches than `steps`, or epochs have different numbers of them.
    """

    def __init__(
        self,
        load: Callable[[int, int], Any],
        position: Callable[[], tuple[int, int]],
        fit: dict[str, Any],
        *,
        steps: int | None,
        before: int | None,
        first: Any,
        prepare: Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]],
        strategy: Any = None,
    ):
        self._prepare = prepare
        self._load, self._position, self._steps, self._strategy = load, position, steps, strategy
        self._options = {name: fit.pop(name) for name in _OF_THE_DATA if name in fit}
        batch_size = self._options.get("batch_size")
        fit["validation_batch_size"] = fit.get("validation_batch_size") or batch_size
        self._loaded = position()
        self._batches = before
        self._data = self._adapter(first)
        self._used = self._running = self._waiting = False
        self._iterator: Any = None

    def _adapter(self, x: Any) -> DataAdapter:
        """Returns Keras's adapter for one epoch's data, after checking the number of batches."""
        if x is None:
            raise InputError("`x` returned None; it must return the data of an epoch.")
        # Not shuffled by default: shuffled data cannot start at a step.
        x, options = self._prepare(x, {"shuffle": False, **self._options})
        data = keras_private.data_adapter(x, **options)
        found, (epoch, step) = data.num_batches, self._loaded
        if self._steps is None and is_endless(x):
            raise InputError("`x` returned endless data; give `steps_per_epoch`.")
        where = f"`x` returned {found} batches for epoch {epoch + 1}"
        if found is not None and found < (self._steps or 1):
            needed = "an epoch takes at least one"
            if self._steps:
                needed = f"{self._steps} are left of it from step {step} on by `steps_per_epoch`"
            raise InputError(f"{where}, but {needed}.")
        if self._steps is None and found is not None:
            if self._batches not in (None, found):
                raise InputError(
                    f"{where} and {self._batches} for the one before; without `steps_per_epoch`, "
                    "every epoch needs the same number."
                )
            self._batches = found
        return data

    def on_epoch_begin(self) -> None:
        """Loads the data of the epoch."""
        if self._used or self._position() != self._loaded:
            self._loaded = self._position()
            self._data = self._adapter(self._load(*self._loaded))
        self._data.on_epoch_begin()
        self._used = self._running = self._waiting = True

    def on_epoch_end(self) -> None:
        """Ends the epoch, if one has begun."""
        if not self._running:
            return
        self._running = False
        if self.num_batches is None and _has_more(self._iterator):
            raise InputError(
                f"`x` returned more batches for epoch {self._loaded[0] + 1} than for the first "
                "one, and Keras takes the same number in each; give `steps_per_epoch`."
            )
        self._iterator = None
        self._data.on_epoch_end()

    def begin(self, make: Callable[[DataAdapter], Any]) -> Any:
        """Returns the iterator of the current epoch.

        Keras creates another one at the end of each epoch and does not use it; it is empty.

        Args:
            make: Returns an iterator of Keras's adapter for the epoch's data.
        """
        if not self._waiting:
            return iter(())
        self._waiting = False
        self._iterator = iter(make(self._data))
        return self._iterator

    def get_tf_dataset(self) -> Any:
        """Returns a dataset that is read from its start in each epoch."""
        return _EpochDataset(self)

    def distributed(self, data: DataAdapter) -> Any:
        """Returns one epoch's data for the replicas of the strategy."""
        dataset = data.get_tf_dataset()
        if self._strategy is None or isinstance(dataset, tf.distribute.DistributedDataset):
            return dataset
        return self._strategy.experimental_distribute_dataset(dataset)

    @property
    def element_spec(self) -> Any:
        """The specification of the batches, as replicas see them."""
        return self.distributed(self._data).element_spec

    def get_jax_iterator(self) -> Iterator[Any]:
        """Returns the batches of the current epoch."""
        return self.begin(lambda data: data.get_jax_iterator())

    def get_torch_dataloader(self) -> Iterator[Any]:
        """Returns the batches of the current epoch."""
        return self.begin(lambda data: data.get_torch_dataloader())

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Returns the batches of the current epoch as arrays; Keras inspects the first one."""
        self._used = True  # a generator cannot return them again
        return self._data.get_numpy_iterator()

    @property
    def num_batches(self) -> int | None:
        """Remaining batches of an epoch; None if unknown."""
        return self._steps or self._batches

    @property
    def batch_size(self) -> int | None:
        """Examples in a batch, if known."""
        return self._data.batch_size

    @property
    def has_partial_batch(self) -> bool | None:
        """Whether the last batch is smaller, if known."""
        return self._data.has_partial_batch

    @property
    def partial_batch_size(self) -> int | None:
        """Examples in the last batch, if known."""
        return self._data.partial_batch_size


def _has_more(iterator: Any) -> bool:
    """Returns whether an iterator has another batch, and consumes it."""
    if hasattr(iterator, "get_next_as_optional"):
        return bool(iterator.get_next_as_optional().has_value())
    return iterator is not None and next(iterator, None) is not None


if keras.backend.backend() == "tensorflow":

    class _EpochDataset(tf.distribute.DistributedDataset):
        """Poses as a distributed dataset, so that Keras creates an iterator in each epoch."""

        def __init__(self, epochs: EpochData):
            self._epochs = epochs

        def __iter__(self) -> Any:
            return self._epochs.begin(self._epochs.distributed)

        @property
        def element_spec(self) -> Any:
            return self._epochs.element_spec
