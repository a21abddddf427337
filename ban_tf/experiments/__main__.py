"""`python -m ban_tf.experiments --list`, or `--run=table2/densenet-112-33 [flags for every run]`.

Exit codes: 0 when all is done, 2 for input that cannot be used, else that of the run that failed.
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
import sys
from collections.abc import Sequence

from ban_tf.experiments import study
from ban_tf.experiments.tables import EXPERIMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Lists the rows of the paper's tables, or trains one."""
    parser = argparse.ArgumentParser(
        prog="python -m ban_tf.experiments",
        description="The rows of the paper's tables. Flags that are not named here are given to "
        "every run: --data_dir=..., --seed=1, --precision=mixed_bfloat16.",
        allow_abbrev=False,
    )
    parser.add_argument("--list", action="store_true", help="print all rows, and ours beside them")
    parser.add_argument("--run", metavar="ROW", help="train a row, such as table2/densenet-112-33")
    parser.add_argument(
        "--workdir",
        type=pathlib.Path,
        default=pathlib.Path("runs/experiments"),
        help="where they are kept (default: %(default)s)",
    )
    known, further = parser.parse_known_args(arguments)
    try:
        if known.run:
            experiment = _named(known.run)
            study.run(experiment, known.workdir, further)
            study.show(experiment, known.workdir)
        elif known.list and not further:
            study.show_all(known.workdir)
        else:
            raise ValueError("give --list, or --run=ROW and flags for its runs.")
    except ValueError as error:
        print(f"ban-tf: {error}", file=sys.stderr)
        return 2
    except study.RunFailedError as error:
        print(f"ban-tf: {error}", file=sys.stderr)
        return error.code
    return 0


def _named(name: str):
    if name not in EXPERIMENTS:
        close = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; --list prints all."
        raise ValueError(f"--run={name} is no row of the paper's tables{hint}")
    return EXPERIMENTS[name]


if __name__ == "__main__":
    sys.exit(main())
