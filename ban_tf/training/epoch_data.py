"""Data that a function returns for each epoch, in a single `fit`.

Keras asks for data once, and reads it again in every epoch. `EpochData` asks a function when an
epoch begins, so that one `fit`, with its callbacks, its optimizer and its traced step, sees other
data in each. An endless stream is left to Keras: it is asked for once, and read on through all
epochs, which keeps its buffers full.
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
    """Tells whether data goes on from epoch to epoch: an endless stream, read so many at a time.

    Args:
        x: What a function returned.
        steps: Batches in an epoch, or None.
    """
    if isinstance(x, DataAdapter):  # a stream that says so, see `keras_distribution.as_data`
        return True
    return steps is not None and is_endless(x)


def is_endless(x: Any) -> bool:
    """Tells whether data is known to have no end."""
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
    """Asks for the data of each epoch when it begins; for `fit`, with no `steps_per_epoch`.

    Args:
        ask: Given the epochs done and the steps done of the next one, returns what `fit` takes
            as `x`.
        place: Returns what `ask` is to be given now.
        fit: Arguments of `fit`; those that belong to the data are taken out.
        steps: Batches in what is left of each epoch, or None for all that there are.
        before: Batches in the epochs before, if they are known.
        first: What `ask` returned for the present place.
        strategy: The `tf.distribute.Strategy` of the model, if it has one.

    Raises:
        InputError: There are fewer batches than `steps`, or epochs have different numbers of them.
    """

    def __init__(
        self,
        ask: Callable[[int, int], Any],
        place: Callable[[], tuple[int, int]],
        fit: dict[str, Any],
        *,
        steps: int | None,
        before: int | None,
        first: Any,
        strategy: Any = None,
    ):
        self._ask, self._place, self._steps, self._strategy = ask, place, steps, strategy
        self._options = {name: fit.pop(name) for name in _OF_THE_DATA if name in fit}
        self._asked_for = place()
        self._batches = before
        self._data = self._adapter(first)
        self._used = self._running = self._waiting = False
        self._iterator: Any = None

    def _adapter(self, x: Any) -> DataAdapter:
        """Keras's adapter for one epoch's data, of which the number of batches is checked."""
        if x is None:
            raise InputError("`x` returned None; it must return the data of an epoch.")
        # Their order is the function's: shuffled, data could not start at a step.
        data = keras_private.data_adapter(x, **{"shuffle": False, **self._options})
        found, (epoch, step) = data.num_batches, self._asked_for
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
                    "every epoch needs as many."
                )
            self._batches = found
        return data

    def on_epoch_begin(self) -> None:
        """Asks for the data of the epoch."""
        if self._used or self._place() != self._asked_for:
            self._asked_for = self._place()
            self._data = self._adapter(self._ask(*self._asked_for))
        self._data.on_epoch_begin()
        self._used = self._running = self._waiting = True

    def on_epoch_end(self) -> None:
        """Ends the epoch, if one has begun."""
        if not self._running:
            return
        self._running = False
        if self.num_batches is None and _has_more(self._iterator):
            raise InputError(
                f"`x` returned more batches for epoch {self._asked_for[0] + 1} than for the first "
                "one, and Keras takes as many in each; give `steps_per_epoch`."
            )
        self._iterator = None
        self._data.on_epoch_end()

    def begin(self, make: Callable[[DataAdapter], Any]) -> Any:
        """Returns the iterator of the epoch that has begun.

        Keras makes another one at the end of each epoch, which it does not use: an empty one.

        Args:
            make: Makes an iterator of Keras's adapter for the epoch's data.
        """
        if not self._waiting:
            return iter(())
        self._waiting = False
        self._iterator = iter(make(self._data))
        return self._iterator

    def get_tf_dataset(self) -> Any:
        """Returns a data set that is read from its start in each epoch."""
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
        """Returns the batches of the epoch that has begun."""
        return self.begin(lambda data: data.get_jax_iterator())

    def get_numpy_iterator(self) -> Iterator[Any]:
        """Returns the batches of the present epoch, as arrays; for a look at the first one."""
        self._used = True  # a generator has lost what was looked at
        return self._data.get_numpy_iterator()

    @property
    def num_batches(self) -> int | None:
        """Batches in what is left of an epoch; None if they cannot be counted beforehand."""
        return self._steps or self._batches

    @property
    def batch_size(self) -> int | None:
        """Examples in a batch, if they are known."""
        return self._data.batch_size

    @property
    def has_partial_batch(self) -> bool | None:
        """Whether the last batch is smaller, if that is known."""
        return self._data.has_partial_batch

    @property
    def partial_batch_size(self) -> int | None:
        """Examples in the last batch, if they are known."""
        return self._data.partial_batch_size


def _has_more(iterator: Any) -> bool:
    """Whether an iterator has not come to its end; takes a batch from it."""
    if hasattr(iterator, "get_next_as_optional"):
        return bool(iterator.get_next_as_optional().has_value())
    return iterator is not None and next(iterator, None) is not None


if keras.backend.backend() == "tensorflow":

    class _EpochDataset(tf.distribute.DistributedDataset):
        """What Keras takes for a distributed data set: it makes an iterator of it in each epoch."""

        def __init__(self, epochs: EpochData):
            self._epochs = epochs

        def __iter__(self) -> Any:
            return self._epochs.begin(self._epochs.distributed)

        @property
        def element_spec(self) -> Any:
            return self._epochs.element_spec
