"""`ban-tf reproduce --list`, or `ban-tf reproduce table2/densenet-112-33 [flags for every run]`.

`--seeds=5` repeats a row over seeds; `--show=ROW` only prints the existing results.

Exit codes: 0 for success, 2 for invalid input, else that of the run that failed.
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
from collections.abc import Sequence
from typing import NoReturn

from ban_tf.cli import common
from ban_tf.errors import InputError
from ban_tf.reproduction import listing, over_seeds, study
from ban_tf.reproduction.experiment import Experiment
from ban_tf.reproduction.tables import EXPERIMENTS

NAME = "ban-tf reproduce"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leaves out the usage, since all commands refuse bad input in one sentence."""
        raise InputError(f"{message}.")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    found = _Parser(
        prog=NAME,
        description="Trains and lists the rows of the paper's tables, small versions of them "
        "(quick/...) and what was measured with this package (evidence/...). Flags that are not "
        "listed here are passed to every run: --data_dir=..., --seed=1, "
        "--precision=mixed_bfloat16.",
        allow_abbrev=False,
    )
    found.add_argument("--list", action="store_true", help="print all rows, with our results")
    found.add_argument(
        "row", metavar="ROW", nargs="?", help="train a row, such as table2/densenet-112-33"
    )
    found.add_argument("--show", metavar="ROW", help="print the existing results of a row")
    found.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="run the row for seeds 0 to N-1, each in its own folder, and print the means",
    )
    found.add_argument(
        "--workdir",
        type=pathlib.Path,
        default=pathlib.Path("runs/experiments"),
        help="directory of the runs (default: %(default)s)",
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Lists the rows of the paper's tables, or trains one."""
    try:
        known, further = parser().parse_known_args(arguments)
        _check(known, further)
        if known.row:
            experiment = _named(known.row)
            if known.seeds:
                over_seeds.run(experiment, known.workdir, range(known.seeds), further)
            else:
                study.run(experiment, known.workdir, further)
            _show(experiment, known.workdir, known.seeds)
        elif known.show:
            _show(_named(known.show, "--show="), known.workdir, known.seeds)
        else:
            listing.show(EXPERIMENTS.values(), known.workdir)
    except InputError as error:
        common.print_error(NAME, error)
        return 2
    except study.RunFailedError as error:
        common.print_error(NAME, error)
        return error.code
    return 0


def _check(known: argparse.Namespace, further: Sequence[str]) -> None:
    """Checks that there is one command, and that no flag is without effect."""
    if known.seeds is not None and known.seeds < 1:
        raise InputError(f"--seeds must be at least 1; it is {known.seeds}.")
    commands = [name for name in ("list", "show", "row") if getattr(known, name)]
    if len(commands) != 1 or (further and commands != ["row"]):
        raise InputError("give --list, --show=ROW, or a ROW and flags for its runs.")
    if known.seeds and commands == ["list"]:
        raise InputError(
            f"--seeds={known.seeds} does nothing with --list, which shows all seeds. Leave it out."
        )


def _show(experiment: Experiment, root: pathlib.Path, seeds: int | None) -> None:
    if seeds:
        over_seeds.show(experiment, root, range(seeds))
    else:
        study.show(experiment, root)


def _named(name: str, flag: str = "") -> Experiment:
    if name not in EXPERIMENTS:
        close = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; --list prints all."
        raise InputError(f"{flag}{name} is not a row{hint}")
    return EXPERIMENTS[name]
