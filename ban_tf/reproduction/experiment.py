"""A row of a table of results: what has to be trained for it, and where its figures are found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """One figure of a row.

    Attributes:
        name: As in the paper.
        paper: The paper's figure; None where it has none.
        run: Which of the experiment's runs ours comes from.
        row: "generation 0" or "ensemble 1-2": which row of that run's summary.
        metric: Which of its numbers; errors are fractions there.
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
        runs: By name the flags that each run adds to the flagfile's.
        columns: What is reported.
        teacher: The flagfile of the network that teaches, if it is trained apart; all runs but
            those of a generation 0 alone are given its model.
        millions: The parameters that the paper gives, in millions.
    """

    name: str
    flagfile: str
    runs: dict[str, tuple[str, ...]]
    columns: tuple[Column, ...]
    teacher: str | None = None
    millions: float | None = None
