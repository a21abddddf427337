"""The results of a lineage: its models, their ensemble, and the table of generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ban_tf.compat.output_evidence import collect
from ban_tf.compat.output_kinds import kind_of
from ban_tf.distillation.ensemble import ensemble
from ban_tf.errors import InputError
from ban_tf.lineage import table as lineage_table
from ban_tf.runs.generations import Generation
from ban_tf.runs.history import MONITOR, Rows, best_row
from ban_tf.system.arguments import is_integer
from ban_tf.training.trainer import Trainers


class TrainedGenerations:
    """Base class of `Lineage`: access to the trained generations.

    Attributes:
        generations: The finished generations, by number.
        keep: "last" or "best": which epoch's weights they keep.
        monitor: The validation accuracy by which an epoch is the best; see `Lineage`.
    """

    generations: list[Generation]
    keep: str
    monitor: str | None
    _first_model: keras.Model | None
    _build: Callable[[], keras.Model]
    _student_build: Callable[[], keras.Model]
    _student: Mapping[str, Any]
    _trainers: Trainers
    _compile: Callable[[int], Mapping[str, Any]]

    def builder(self, number: int) -> Callable[[], keras.Model]:
        """Returns the function that builds a generation's model."""
        return self._student_build if number else self._build

    def model(self, number: int) -> keras.Model:
        """Returns a generation as a new plain Keras model, not compiled.

        Raises:
            InputError: The generation does not exist.
        """
        known = len(self.generations)
        if not is_integer(number) or number not in range(-known, known):
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
        """Returns the ensemble of generations as one Keras model.

        Args:
            members: Numbers of the generations; by default all born-again ones.
            average: See `ban_tf.distillation.ensemble.ensemble`.

        Raises:
            InputError: There are no members, or some do not exist.
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
        """Returns the compiled loss, which shows whether outputs are logits."""
        model = self._trainers.any_model
        return self._compile(1).get("loss") if model is None else model.loss

    def _output_kinds(self, model: keras.Model) -> dict[str, str]:
        """Returns the kinds of the generations' outputs, such as logits, by name."""
        evidence = collect(
            model,
            "student",
            loss=self._loss(),
            output_kind=self._student.get("output_kind"),
            activation=self._student.get("student_activation"),
        )
        kinds = {name: kind_of(output_evidence) for name, output_evidence in evidence.items()}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    @property
    def history(self) -> list[dict[str, float]]:
        """Returns one row per epoch of each generation, for a data frame."""
        return [
            {"generation": generation.number, **row}
            for generation in self.generations
            for row in generation.history
        ]

    def table(self) -> list[dict[str, Any]]:
        """Returns one row per generation, for a data frame; see `lineage.table.rows`."""

        def pick(rows: Rows) -> dict[str, float]:
            return best_row(rows, self.monitor or MONITOR) if self.keep == "best" else rows[-1]

        return lineage_table.rows(self.generations, pick)

    def __str__(self) -> str:
        return lineage_table.as_text(self.table())

    def _repr_html_(self) -> str:
        """The table of generations; notebooks show it for a lineage at the end of a cell."""
        return lineage_table.as_html(self.table())

    def summary(self) -> None:
        """Prints the table of generations."""
        print(self)
