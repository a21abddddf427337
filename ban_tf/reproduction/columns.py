"""The columns of each table, and the runs that they need."""

from __future__ import annotations

from ban_tf.reproduction.experiment import Column


def flagfile(network: str) -> str:
    """Returns the name of a network's flagfile."""
    return network.replace("-", "_").replace("@", "_").replace("=", "_").replace(".", "_")


def pair(teacher: float | None, ban: float | None) -> tuple[Column, ...]:
    """Returns the columns of a run of two generations."""
    return (
        Column("Teacher", teacher, "ban", "generation 0"),
        Column("BAN", ban, "ban", "generation 1"),
    )


TABLE_2_RUNS = {
    "ban": ("--gens=3",),
    "ban+l": ("--gens=1", "--objective=kd+labels"),
    "cwtm": ("--gens=1", "--objective=cwtm"),
    "dkpp": ("--gens=1", "--objective=dkpp"),
}


def table_2(
    figures: tuple[float | None, ...], third_ensemble: str = "ensemble 1-3"
) -> tuple[Column, ...]:
    """Returns the columns of Table 2; BAN-1 to 3, their ensembles, the objectives.

    Args:
        figures: The paper's figures, one per column.
        third_ensemble: Our row for Ens*3.
    """
    # The paper trained BAN and BAN-1 separately; here they are the same network.
    places = (
        ("Teacher", "teacher", "generation 0"),
        ("BAN", "ban", "generation 1"),
        ("BAN+L", "ban+l", "generation 1"),
        ("CWTM", "cwtm", "generation 1"),
        ("DKPP", "dkpp", "generation 1"),
        ("BAN-1", "ban", "generation 1"),
        ("BAN-2", "ban", "generation 2"),
        ("BAN-3", "ban", "generation 3"),
        ("Ens*2", "ban", "ensemble 1-2"),
        ("Ens*3", "ban", third_ensemble),
    )
    return tuple(
        Column(name, figure, run, row)
        for (name, run, row), figure in zip(places, figures, strict=True)
    )


def language(*figures: float | None) -> tuple[Column, ...]:
    """Returns the columns of Table 6, given the paper's four perplexities."""
    validation, test = "validation_perplexity", "perplexity"
    return (
        Column("Teacher Val", figures[0], "ban+l", "generation 0", validation),
        Column("BAN+L Val", figures[1], "ban+l", "generation 1", validation),
        Column("Teacher Test", figures[2], "ban+l", "generation 0", test),
        Column("BAN+L Test", figures[3], "ban+l", "generation 1", test),
    )
