"""What a run on a table keeps: its columns and its target."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

from ban_tf.datasets.table_columns import Column
from ban_tf.datasets.tables import NUMBER, Target
from ban_tf.errors import CorruptFileError, RunDirectoryError
from ban_tf.runs import reading, schemas
from ban_tf.system import json_schema

COLUMNS = "columns.json"


class TableFacts(NamedTuple):
    """Describes the data, so that a model can be applied to other tables.

    Attributes:
        dataset: The value of `--dataset`.
        content: A hash of the table.
        target: What is predicted.
        columns: The columns that the model takes.
    """

    dataset: str
    content: str
    target: Target
    columns: list[Column]

    def to_json(self) -> bytes:
        """Returns the content of `columns.json`."""
        return json.dumps(
            {
                "dataset": self.dataset,
                "content": self.content,
                "target": dataclasses.asdict(self.target),
                "columns": [dataclasses.asdict(column) for column in self.columns],
            },
            indent=1,
        ).encode()


def read_facts(run: reading.RunReader) -> TableFacts:
    """Reads `columns.json`.

    Raises:
        RunDirectoryError: The run is not on a table, or the file is damaged.
    """
    if COLUMNS not in run.names():
        raise RunDirectoryError(f"{run.path} is not a run on a table: it holds no {COLUMNS}.")
    found = json_schema.read(run.read(COLUMNS), schemas.COLUMNS, run.path / COLUMNS)
    columns = [Column(**_known(Column, entry)) for entry in found["columns"]]
    if len({column.key for column in columns}) < len(columns):
        raise CorruptFileError(f"{run.path / COLUMNS} has two columns of one key.")
    target = Target(**_known(Target, found["target"]))
    return TableFacts(found["dataset"], found["content"], target, columns)


def _known(kind: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries that a class has, lists as tuples; later versions may write others."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in entry.items()
        if name in names
    }


def is_number(facts: TableFacts) -> bool:
    """Returns whether a run predicts a number."""
    return facts.target.kind == NUMBER
