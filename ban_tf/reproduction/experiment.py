"""A row of a table of results: its runs, and the sources of its figures."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """One figure of a row.

    Attributes:
        name: As in the paper.
        paper: The paper's figure; None if it has none.
        run: The name of the run with our figure.
        row: The row of that run's summary, such as "generation 0" or "ensemble 1-2".
        metric: The metric in that row; errors are fractions there.
    """

    name: str
    paper: float | None
    run: str
    row: str
    metric: str = "error"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A row of a table.

    Attributes:
        name: Such as "table2/densenet-112-33".
        flagfile: Below `flags/`, without its ending.
        runs: The flags that each run adds to the flagfile's, by name.
        columns: The reported figures.
        teacher: The flagfile of the teacher, if it is trained separately; all runs except those
            of only a generation 0 use its model.
        millions: The parameters that the paper gives, in millions.
    """

    name: str
    flagfile: str
    runs: dict[str, tuple[str, ...]]
    columns: tuple[Column, ...]
    teacher: str | None = None
    millions: float | None = None
