"""`python -m ban_tf.report RUN [RUN ...]`: writes the reports of finished runs again."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from ban_tf import command
from ban_tf.report import comparison, content, page, plots, table
from ban_tf.rundir import write_atomically

NAME = "ban_tf.report"
USAGE = """python -m ban_tf.report RUN [RUN ...] [flags]

Writes report.html and summary.md of each finished run again, from the files in its directory.
Several runs are compared too: objectives and other settings by seeds.
"""


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_bool(
        "figures", False, "Also write the main figure as PNG into RUN/figures.", flag_values=values
    )
    flags.DEFINE_string(
        "output",
        "comparison",
        "The folder that the comparison of several runs goes to.",
        flag_values=values,
    )


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if not names:
        raise ValueError("name a run, such as runs/digits-wrn-16-1-kd-0.")
    for each in [content.read(name) for name in names]:
        write(each)
        print(f"{each.path / 'report.html'}")
        if values["figures"].value:
            _write_figures(each)
    if len(names) > 1:
        comparison.write(names, values["output"].value)
        print(f"{pathlib.Path(values['output'].value) / 'report.html'}")


def write(run: content.Content) -> None:
    """Writes `report.html` and `summary.md` of a run.

    Raises:
        ValueError: The directory refuses them.
    """
    files = {"report.html": page.write(run), "summary.md": table.write_markdown(run.summary)}
    try:
        for name, text in files.items():
            write_atomically(run.path / name, text.encode())
    except OSError as error:
        raise ValueError(f"{run.path} cannot be written ({error.strerror}).") from error


def _write_figures(run: content.Content) -> None:
    figures = {"error_by_generation": plots.error_by_generation(run.summary)}
    folder = pathlib.Path(run.path) / "figures"
    for name, figure in figures.items():
        write_atomically(folder / f"{name}.png", plots.png(figure))
        print(f"{folder / name}.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
