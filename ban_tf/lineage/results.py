"""What can be read off a lineage: its models, their ensemble, and the table of its generations."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ban_tf.compat.output_evidence import collect
from ban_tf.compat.output_kinds import kind_of
from ban_tf.distillation.ensemble import ensemble
from ban_tf.errors import InputError
from ban_tf.lineage import table as lineage_table
from ban_tf.runs.generations import Generation
from ban_tf.runs.history import best_row
from ban_tf.training.trainer import Trainers


class TrainedGenerations:
    """The generations that a `Lineage`, which is derived from it, has trained.

    Attributes:
        generations: Those that are finished, by number.
        keep: "last" or "best": which epoch's weights they keep.
    """

    generations: list[Generation]
    keep: str
    _first_model: keras.Model | None
    _build: Callable[[], keras.Model]
    _student_build: Callable[[], keras.Model]
    _student: Mapping[str, Any]
    _trainers: Trainers
    _compile: Callable[[int], Mapping[str, Any]]

    def builder(self, number: int) -> Callable[[], keras.Model]:
        """Returns what makes a fresh model of a generation's shape."""
        return self._student_build if number else self._build

    def model(self, number: int) -> keras.Model:
        """Returns a generation's model, newly built: a plain Keras model, not compiled.

        Raises:
            InputError: There is no such generation.
        """
        known = len(self.generations)
        whole = isinstance(number, numbers.Integral) and not isinstance(number, bool)
        if not whole or number not in range(-known, known):
            there = f"there are generations 0 to {known - 1}" if known else "none is trained yet"
            raise InputError(f"There is no generation {number!r}: {there}.")
        generation = self.generations[number]
        if generation.pretrained:
            return self._first_model
        model = self.builder(number)()
        model.set_weights(generation.weights)
        return model

    def ensemble(
        self, members: Sequence[int] | None = None, average: str = "probabilities"
    ) -> keras.Model:
        """Returns the mean of the generations as one Keras model.

        Args:
            members: Numbers of the generations; by default all born-again ones.
            average: See `ban_tf.distillation.ensemble.ensemble`.

        Raises:
            InputError: There are no members, or no such generations.
        """
        given = members
        if members is None:
            members = [generation.number for generation in self.generations[1:]] or [0]
        try:
            members = [] if isinstance(members, (str, bytes, Mapping)) else list(members)
        except TypeError:  # a number, or an array of one
            members = []
        if not members:
            raise InputError(
                f"`members` must be a list of numbers of generations. Received: {given!r}"
            )
        models = [self.model(number) for number in members]
        return ensemble(
            models,
            average,
            output_kind=self._output_kinds(models[0]),
            activation=self._student.get("student_activation"),
            loss=self._loss(),
        )

    def _loss(self) -> Any:
        """Returns the compiled loss, which says what outputs mean."""
        model = self._trainers.any_model
        return self._compile(1).get("loss") if model is None else model.loss

    def _output_kinds(self, model: keras.Model) -> dict[str, str]:
        """Returns what the outputs of the generations mean, by name."""
        evidence = collect(
            model,
            "student",
            loss=self._loss(),
            output_kind=self._student.get("output_kind"),
            activation=self._student.get("student_activation"),
        )
        kinds = {name: kind_of(each) for name, each in evidence.items()}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    @property
    def history(self) -> list[dict[str, float]]:
        """One row for each epoch of each generation, ready for a data frame."""
        return [
            {"generation": generation.number, **row}
            for generation in self.generations
            for row in generation.history
        ]

    def table(self) -> list[dict[str, Any]]:
        """One row for each generation, ready for a data frame; see `lineage_table.rows`."""
        pick = best_row if self.keep == "best" else lambda history: history[-1]
        return lineage_table.rows(self.generations, pick)

    def __str__(self) -> str:
        return lineage_table.as_text(self.table())

    def summary(self) -> None:
        """Prints the table of generations."""
        print(self)
