"""Classes that are saved under the names of Keras's own.

A file that holds one loads in plain Keras, without this package, as the class it stands in for;
where this package is imported, it loads as the class that was saved. For that, Keras must find its
own class by the module and name that it writes into the file, which are those of the Python class,
and ours by the name that it is registered under. Everything else, `repr` and `pickle` among it,
goes by the module where the class is at home.
"""

from __future__ import annotations

import copyreg
import importlib
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.compat.registration import PACKAGE


class StandIn(type(keras.Layer)):  # type: ignore[misc]  # a metaclass known only at run time
    """The metaclass of these classes, whose `__module__` is for Keras's eyes."""

    def __repr__(cls) -> str:
        home = vars(cls).get("_home")
        return f"<class '{home}.{cls.__qualname__}'>" if home else super().__repr__()


def _find(home: str, name: str) -> Any:
    return getattr(importlib.import_module(home), name)


def _reduce(cls: StandIn) -> Any:
    home = vars(cls).get("_home")
    return (_find, (home, cls.__qualname__)) if home else cls.__qualname__


copyreg.pickle(StandIn, _reduce)


class _AsStock:
    """What stands in for a stock class, as Keras is to see it in its older file format."""

    def __init__(self, stock: type, config: dict[str, Any]):
        self._stock, self._config = stock, config

    @property  # type: ignore[misc]  # its class is the stock class, and cannot be set
    def __class__(self) -> type:
        return self._stock

    def get_config(self) -> dict[str, Any]:
        return self._config


def stands_in_for(stock: type) -> Callable[[type], type]:
    """Decorates a class of this package that is saved as a stock class.

    Args:
        stock: The class of Keras. Both have the same configuration.
    """

    def decorate(cls: Any) -> type:
        cls._home = cls.__module__
        keras.saving.register_keras_serializable(PACKAGE, cls.__qualname__)(cls)
        cls.__module__, cls.__name__ = stock.__module__, stock.__name__
        # HDF5 files know an object by its registered name alone. Keras unwraps it first, as it
        # would unwrap a decorated function.
        cls.__wrapped__ = property(lambda self: _AsStock(stock, self.get_config()))
        return cls

    return decorate
