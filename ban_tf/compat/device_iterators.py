"""Iterators over several devices that end when they are done with.

`iterators` says what holds them up. A data set over N devices has N + 1 iterators, and with four
logical devices of one processor a training looked as if it hung. `tf.distribute` has no option for
it, so two names of TensorFlow's own are replaced; nobody with one device depends on them.
"""

from __future__ import annotations

from typing import Any

from tensorflow.python.data.ops import multi_device_iterator_ops as stock

from ban_tf.compat.iterators import untuned

_stock_device_dataset = stock._create_device_dataset


def end_at_once() -> None:
    """Has data sets that are distributed over devices from here on end at once."""
    stock._create_device_dataset = _device_dataset
    stock.OwnedMultiDeviceIterator = _Iterator


def _device_dataset(*arguments: Any) -> Any:
    return untuned(_stock_device_dataset(*arguments))  # which reads what the host has made


class _Iterator(stock.OwnedMultiDeviceIterator):
    def __init__(self, dataset: Any = None, devices: Any = None, **options: Any):
        if dataset is not None and all("GPU" not in str(each).upper() for each in devices):
            dataset = untuned(dataset)
        super().__init__(dataset, devices, **options)
