"""Classes that are saved under the names of Keras's stock classes.

Plain Keras, without this package, loads such a file with the stock class; if this package is
imported, it is loaded with the class that was saved. For that, Keras must find its stock class by
the module and name in the file, which are those of the Python class, and ours by its registered
name. Everything else, such as `repr` and `pickle`, uses the module that defines the class.
"""

from __future__ import annotations

import copyreg
import importlib
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.compat.registration import PACKAGE


class StandIn(type(keras.Layer)):  # type: ignore[misc]  # a metaclass known only at run time
    """The metaclass of these classes, whose `__module__` is that of the stock class."""

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
    """Represents an object as one of the stock class for Keras's older file format."""

    def __init__(self, stock: type, config: dict[str, Any]):
        self._stock, self._config = stock, config

    @property  # type: ignore[misc]  # its class is the stock class, and cannot be set
    def __class__(self) -> type:
        return self._stock

    def get_config(self) -> dict[str, Any]:
        return self._config


def stands_in_for(stock: type) -> Callable[[type], type]:
    """Returns a decorator for a class that is saved as a stock class.

    Args:
        stock: The Keras class; both must have the same configuration.
    """

    def decorate(cls: Any) -> type:
        cls._home = cls.__module__
        keras.saving.register_keras_serializable(PACKAGE, cls.__qualname__)(cls)
        cls.__module__, cls.__name__ = stock.__module__, stock.__name__
        # HDF5 files only contain an object's registered name. Keras unwraps it first, like a
        # decorated function.
        cls.__wrapped__ = property(lambda self: _AsStock(stock, self.get_config()))
        return cls

    return decorate
