"""`ban-tf report RUN [RUN ...]`: writes the reports of finished runs again."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from ban_tf.cli import common as command
from ban_tf.errors import InputError
from ban_tf.report import comparison_page, content, page, plots, predictions, table
from ban_tf.system import safe_files, shown
from ban_tf.system.files import write_atomically

NAME = "ban-tf report"
USAGE = """ban-tf report RUN [RUN ...] [flags]

Writes report.html, summary.md and (for images) predictions.csv of a finished run again, from the
files in its directory.
Several runs are also compared, objectives and other settings over seeds: means, standard
deviations and paired intervals, in report.html, summary.md and summary.json of another folder.
Runs without results are left out of the comparison.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_bool(
        "figures",
        False,
        "Also write the main figures as PNG, into figures/ next to each report.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "control",
        None,
        "The name of the group with which the other runs are also compared. Default: "
        "labels or baseline, if there is one.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output",
        "comparison",
        "The output folder of the comparison of several runs.",
        flag_values=values,
    )


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if not names:
        raise InputError("name a run, such as runs/digits-wrn-16-1-kd+labels-0.")
    if len(names) == 1:
        for flag in ("control", "output"):
            if values[flag].present:
                raise InputError(
                    f"--{flag}={values[flag].value} does nothing with one run; it is for the "
                    "comparison of several. Leave it out."
                )
        _again(content.read(names[0]), values.figures)
        return
    output, pictures = pathlib.Path(values.output), values.figures
    result = comparison_page.write(names, output, values.control, pictures)
    for name in result["left_out"]:
        print(f"{shown.escaped(name)} has no results yet and is left out.")
    for name in [name for group in result["groups"] for name in group["runs"]]:
        _again(content.read(name), pictures)
    print(shown.escaped(output / "report.html"))


def _again(run: content.Content, pictures: bool) -> None:
    write(run)
    print(shown.escaped(run.path / "report.html"))
    if pictures:
        _write_figures(run)


def write(run: content.Content) -> None:
    """Writes `report.html` and `summary.md` of a run, and `predictions.csv` of one on images.

    Raises:
        InputError: The directory cannot be written.
    """
    markdown = table.write_markdown(run.summary, has_analysis=run.analysis is not None)
    files = {"report.html": page.write(run).encode(), "summary.md": markdown.encode()}
    table_of_examples = predictions.write(run)
    if table_of_examples is not None:
        files[predictions.FILE] = table_of_examples
    try:
        for name, written in files.items():
            write_atomically(run.path / name, written)
    except OSError as error:
        raise InputError(f"{run.path} cannot be written ({error.strerror}).") from error


def _write_figures(run: content.Content) -> None:
    name, figure = plots.by_generation(run.summary)
    file = run.path / "figures" / f"{name}.png"
    try:
        safe_files.check_inside(file.parent, run.path)
        write_atomically(file, plots.png(figure))
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}).") from error
    print(shown.escaped(file))
