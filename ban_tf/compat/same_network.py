"""Checks that all networks that `build` returns only differ in the values of their weights.

Networks are created once for all generations of equal shape, and only their weights are reset. A
constant that `build` draws (random features, a position table), or a rate, would thus be combined
with the weights of another network: the saved network would not be the trained one.
"""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.compat import distribute, fingerprint
from ban_tf.errors import InputError


class SameNetwork:
    """Compares networks with the first one of their kind.

    Args:
        argument: The argument with the function that builds them, for messages.
    """

    def __init__(self, argument: str):
        self._argument = argument
        # In the scope of a strategy a network may be built with the per-replica batch size.
        self._first: dict[int, Any] = {}

    def check(self, model: keras.Model) -> None:
        """Compares a network's configuration, graph and constants with those of the first one.

        Raises:
            InputError: They differ.
        """
        found = fingerprint.configuration(model, code_data=False)
        first = self._first.setdefault(distribute.replica_count(), found)
        different = difference(first, found)
        if different:
            raise InputError(
                f"`{self._argument}` returns networks that differ in {different}. They may only "
                "differ in their weights, or the saved network would not be the trained one: draw "
                f"it once, outside `{self._argument}`, from a fixed seed, or make it a weight "
                "(add_weight(..., trainable=False))."
            )


def difference(first: Any, second: Any, where: str = "the network") -> str | None:
    """Returns the first difference of two descriptions; None if they are equal.

    Seeds are ignored: they affect initial weights and draws, not the network.

    Args:
        first: The result of `fingerprint.configuration`.
        second: The same for another network.
        where: The layer that they belong to, for the result.
    """
    if first == second:
        return None
    if isinstance(first, dict) and isinstance(second, dict):
        where = _class_name(first) or where
        keys = [key for key in {**first, **second} if not _is_seed(key)]
        return _first_difference([(first.get(key), second.get(key)) for key in keys], where)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return _difference_of_lists(first, second, where)
    return where


def _difference_of_lists(first: list, second: list, where: str) -> str | None:
    if len(first) == 2 and first[0] == second[0] and isinstance(first[0], str):
        name, values = first[0], (first[1], second[1])
        if name == "array":
            return f"an array of {where}"
        if _is_seed(name):
            return None
        return difference(*values, f"`{name.lstrip('_')}` of {where}")
    if first and isinstance(first[0], dict):  # a call: the operation and its arguments
        where = _class_name(first[0]) or where
    return _first_difference(list(zip(first, second, strict=True)), where)


def _first_difference(pairs: list[tuple[Any, Any]], where: str) -> str | None:
    found = (difference(first, second, where) for first, second in pairs)
    return next((item for item in found if item), None)


def _is_seed(name: str) -> bool:
    return "seed" in name.lower()


def _class_name(description: dict) -> str | None:
    kind = description.get("class")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    return f"{kind.split(':')[-1].split('.')[-1]}" if isinstance(kind, str) else None
