"""One augmentation of `numpy_policies`: what is drawn, what follows for pixels, and the pixels."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Draws = tuple[Any, ...]
Plan = tuple[Any, ...]
# Calls a function with arrays, and as `arrays` the module that computes with them.
Run = Callable[..., Any]


def in_numpy(function: Callable[..., Any], *values: Any) -> Any:
    """Returns what a function computes in NumPy: the `Run` of the host."""
    return function(*values, arrays=np)


class Step(abc.ABC):
    """Draws and plans in NumPy, and changes pixels by integers where a `Run` computes."""

    @abc.abstractmethod
    def draw(self, count: int, seed: Any) -> Draws:
        """Draws from a seed, two integers; arrays `[count, ...]`."""

    @abc.abstractmethod
    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        """Returns what pixels are computed from: integers, nested arrays `[batch, ...]`.

        Args:
            draws: What `draw` returns.
            shape: Of the images: height, width and channels.
        """

    @abc.abstractmethod
    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        """Returns changed images.

        Args:
            images: uint8 `[batch, height, width, channels]`.
            plan: What `plan` returns.
            run: Calls what computes pixels: `in_numpy`, or as a program of a device.
        """

    def change_masks(self, masks: Any, plan: Plan, run: Run) -> Any:
        """Returns masks, of one channel, whose pixels are moved as those of their images."""
        return masks

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns images that are changed as drawn, in NumPy."""
        return self.change(images, self.plan(draws, images.shape[1:]), in_numpy)

    def apply_to_masks(self, masks: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns masks, of one channel, whose pixels are moved as drawn, in NumPy."""
        return self.change_masks(masks, self.plan(draws, masks.shape[1:]), in_numpy)
