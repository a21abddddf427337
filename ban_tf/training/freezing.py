"""Trains the head alone at first, and the backbone from an epoch on."""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.architectures import backbones


class FreezeUntil(keras.callbacks.Callback):
    """Freezes the backbone of a `BornAgainModel`'s student for the first epochs.

    The optimizer must be built for all variables, before the first epoch; those that are frozen do
    not move, and neither do their moments. What is frozen follows from the epoch alone, so that a
    resumed training does as one that was not interrupted.

    Args:
        epoch: The first epoch, from 0, in which all is trained.
    """

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch = epoch
        self._frozen: bool | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Freezes the backbone, or trains it again, and has the training step traced again."""
        frozen = epoch < self.epoch
        if frozen != self._frozen:
            self._frozen = frozen
            backbones.set_frozen(self.model.student, frozen)
            self.model.make_train_function(force=True)
