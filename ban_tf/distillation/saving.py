"""How a student is saved, copied and loaded, with its teacher or without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf.distillation import adjustable, teacher_files
from ban_tf.distillation.held_optimizer import HeldOptimizer
from ban_tf.distillation.taught_model import TaughtModel
from ban_tf.errors import InputError


class SavingModel(TaughtModel):
    """The variables, files and configuration of `BornAgainModel`."""

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        *arguments: Any,
        include_teacher: bool = False,
        **options: Any,
    ) -> None:
        """Saves the student, and all it takes to train on, in a `.keras` file.

        A teacher that was given as a path is found there again. One that was given as a model is
        left out by default, so that checkpoints do not grow with it.

        Args:
            filepath: As for `keras.Model.save`.
            overwrite: As for `keras.Model.save`.
            *arguments: As for `keras.Model.save`.
            include_teacher: Whether the file is to hold the teacher, too.
            **options: As for `keras.Model.save`.

        Raises:
            InputError: It is an HDF5 file, from which this class cannot be loaded.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise InputError(
                f"`filepath` {str(filepath)!r} is an HDF5 file, from which a model in training "
                "cannot be loaded; give a path that ends in .keras, or save the plain model: "
                "`model.student.save(...)`."
            )
        self._include_teacher = include_teacher
        try:
            super().save(filepath, overwrite, *arguments, **options)
        finally:
            self._include_teacher = False

    @property
    def variables(self) -> list[Any]:
        """All variables: the student's, and with a teacher those of the teacher's terms."""
        if not self._is_taught:
            return self.student.variables
        return [*super().variables, *self._projections("variables")]

    @property
    def weights(self) -> list[Any]:
        """The student's weights, and with a teacher those of `distillation_losses` after them."""
        return [*super().weights, *self._projections("weights")]

    def _projections(self, kind: str) -> list[Any]:
        if self._further is None or not self._is_taught:
            return []
        return self._further.variables(kind)

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns what `pickle` and `copy` rebuild the model from, the teacher included."""
        make, arguments = super().__reduce__()
        return _taught, (make, arguments, self.teacher)

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of random draws and of `distillation_losses`."""
        store["draws"] = self._draws.state
        held = self._further.weights_to_save() if self._further else []
        for index, variable in enumerate(held):
            store[f"projection_{index}"] = variable

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved; older files lack it."""
        names = set(store.keys())
        if "draws" in names:
            self._draws.state.assign(store["draws"])
        if self._further:
            numbers = range(sum(name.startswith("projection_") for name in names))
            self._further.restore([np.array(store[f"projection_{number}"]) for number in numbers])
            optimizer = getattr(self, "optimizer", None)
            if self._further.awaits_teacher and optimizer is not None:
                held = HeldOptimizer(optimizer)
                self.__dict__["_held_optimizer"] = held  # not tracked by Keras
                self.optimizer = held.optimizer

    def _release_optimizer(self) -> None:
        """Gives the optimizer its state, once all that it trains is built."""
        held = vars(self).get("_held_optimizer")
        if held is None or self._further.awaits_teacher:
            return
        del self.__dict__["_held_optimizer"]
        if held.optimizer is self.optimizer:
            held.release(self.trainable_variables)

    def save_assets(self, dir_path: str) -> None:
        """Saves the teacher, if `save` includes it."""
        if getattr(self, "_include_teacher", False):
            teacher_files.write(self.teacher, dir_path)

    def load_assets(self, dir_path: str) -> None:
        """Loads the teacher, if the file has one."""
        found = teacher_files.read(dir_path)
        if found:
            self.teacher = found

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; of the teacher, only where it is found."""
        terms = self._further.terms if self._further else []
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student": serialize(self.student),
            "teacher": teacher_files.reference(self.teacher),
            "objective": serialize(self.objective),
            **self._adjusted(),
            "distillation_losses": [[serialize(loss), weight] for loss, weight in terms],
            "output_kind": self.output_kind,
            "student_activation": self.student_activation,
            "teacher_activation": self.teacher_activation,
            "distill_void": self.distill_void,
            "check_data": self.check_data,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Rebuilds the model; training without restoring an unsaved teacher raises an error."""
        deserialize = keras.saving.deserialize_keras_object
        config = {
            **config,
            "student": deserialize(config["student"], custom_objects),
            "teacher": teacher_files.from_reference(config["teacher"]),
            "distillation_losses": [
                (deserialize(loss, custom_objects), weight)
                for loss, weight in config["distillation_losses"]
            ],
            **{
                name: adjustable.from_config(config.get(name), name)
                for name in ("label_weight", "teacher_weight", "temperature")
                if name in config
            },
        }
        return cls(**config)


def _taught(make: Callable[..., Any], arguments: tuple[Any, ...], teacher: Any) -> Any:
    model = make(*arguments)
    model.teacher = teacher
    return model
