"""Checks plain arguments of `keras.Model.fit` before the first generation is trained."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system.arguments import check_count, is_number


def check_options(fit: Mapping[str, Any]) -> None:
    """Checks the arguments of `fit` on splitting, shuffling, class weights, output and validation.

    Args:
        fit: Arguments by name; missing ones have Keras's defaults.

    Raises:
        InputError: One has the wrong type or is out of range.
    """
    split = fit.get("validation_split", 0.0)
    if split is not None and (not is_number(split) or not 0 <= split < 1):
        raise InputError(
            f"`validation_split` must be a fraction from 0 to below 1. Received: {split!r}"
        )
    shuffle = fit.get("shuffle", True)
    if not isinstance(shuffle, (bool, np.bool_)) and not _is(shuffle, "batch"):
        raise InputError(f"`shuffle` must be True, False or 'batch'. Received: {shuffle!r}")
    verbose = fit.get("verbose", "auto")
    if not _is(verbose, "auto") and not (
        isinstance(verbose, (numbers.Integral, np.bool_)) and verbose in (0, 1, 2)
    ):
        raise InputError(f"`verbose` must be 'auto', 0, 1 or 2. Received: {verbose!r}")
    weights = fit.get("class_weight")
    if weights is not None and not isinstance(weights, Mapping):
        raise InputError(
            f"`class_weight` must be a dictionary from classes to weights. Received: {weights!r}"
        )
    _check_validation(fit)


def _check_validation(fit: Mapping[str, Any]) -> None:
    data: Any = fit.get("validation_data")
    scalar = isinstance(data, (str, bytes, bool, numbers.Number))
    if scalar or (isinstance(data, (tuple, list)) and len(data) > 3):
        received = repr(data) if scalar else f"{len(data)} entries"
        raise InputError(
            "`validation_data` must be a dataset, or a tuple (x, y) or (x, y, sample_weight). "
            f"Received: {received}"
        )
    often = fit.get("validation_freq", 1)
    if isinstance(often, Collection) and not isinstance(often, (str, bytes)) and len(often):
        for epoch in often:
            check_count("validation_freq", epoch, least=1)
        return
    check_count("validation_freq", often, least=1)
    if not isinstance(often, int):  # Keras requires an int
        raise InputError(f"`validation_freq` must be an int of Python. Received: {often!r}")


def _is(value: Any, text: str) -> bool:
    return isinstance(value, str) and value == text
