"""Datasets over several devices, whose iterators are destroyed immediately.

See `iterators` for the cause. A dataset over N devices has N + 1 iterators, and with four logical
devices of one processor a training seemed to hang. `tf.distribute` has no option for this, so two
private names of TensorFlow are replaced; training on one device does not depend on them.
"""

from __future__ import annotations

from typing import Any

from tensorflow.python.data.ops import multi_device_iterator_ops as stock

from ban_tf.compat.iterators import untuned

_stock_device_dataset = stock._create_device_dataset


def end_at_once() -> None:
    """Makes the iterators of datasets that are distributed from here on end immediately."""
    stock._create_device_dataset = _device_dataset
    stock.OwnedMultiDeviceIterator = _Iterator


def _device_dataset(*arguments: Any) -> Any:
    return untuned(_stock_device_dataset(*arguments))  # only reads batches of the host


class _Iterator(stock.OwnedMultiDeviceIterator):
    def __init__(self, dataset: Any = None, devices: Any = None, **options: Any):
        if dataset is not None and all("GPU" not in str(device).upper() for device in devices):
            dataset = untuned(dataset)
        super().__init__(dataset, devices, **options)
