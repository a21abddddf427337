"""The saved state of an optimizer that also trains what is not built yet.

A saved model is loaded before it has its teacher, and so before a projection to the teacher's
features exists, whose moments are among the optimizer's. Keras would leave out the whole state.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

from ban_tf.compat import keras_private


class HeldOptimizer:
    """A fresh copy of an optimizer that keeps, and saves, the state it is given until it is built.

    Args:
        optimizer: The compiled optimizer.

    Attributes:
        optimizer: The copy, to be compiled in its place.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.optimizer = keras_private.copy_of_optimizer(optimizer)
        inner = getattr(self.optimizer, "inner_optimizer", None)
        self._parts = [part for part in (self.optimizer, inner) if part is not None]
        self._held: dict[int, dict[str, np.ndarray]] = {}
        for number, part in enumerate(self._parts):
            vars(part)["load_own_variables"] = functools.partial(self._hold, number)
            vars(part)["save_own_variables"] = functools.partial(self._save, number)

    def _hold(self, number: int, store: Any) -> None:
        self._held[number] = {name: np.array(store[name]) for name in store.keys()}  # noqa: SIM118

    def _save(self, number: int, store: Any) -> None:
        for name, value in self._held.get(number, {}).items():
            store[name] = value

    def release(self, variables: list[Any]) -> None:
        """Builds the optimizer, unless it was built meanwhile, and gives it its state."""
        late = self.optimizer.built
        if not late:
            self.optimizer.build(variables)
        for number, part in enumerate(self._parts):
            del vars(part)["load_own_variables"], vars(part)["save_own_variables"]
            if number in self._held and not late:
                part.load_own_variables(self._held[number])
