"""`--final_student`: the whole ensemble distilled into one network.

The ensemble of the born-again generations becomes the given teacher of one more student, in a
run of its own inside the run's directory; its row joins the tables of the run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from absl import logging

from ban_tf.config.options import Options
from ban_tf.metrics import summary
from ban_tf.report import content, page, table
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory


def add(
    options: Options,
    last: int,
    result: dict[str, Any],
    directory: RunDirectory,
    run_one: Callable[[Options], dict[str, Any]],
) -> dict[str, Any]:
    """Trains the final student, unless it is there, and writes the run's reports with it.

    Args:
        options: Of the run, whose generations are finished.
        last: The number of the last of them.
        result: The summary of the run; empty for a worker that is not the chief, and only trains.
        directory: Of the run, held by the chief.
        run_one: Runs options and returns their summary.

    Returns:
        The summary with the final student.
    """
    # Another ensemble has another student.
    name = f"final_student-{last}"
    if not result:
        run_one(_options(options, name))
        return {}
    members = list(range(1, last + 1)) or [0]
    collapsed = [each for each in members if result["generations"][each]["extra"].get("collapsed")]
    if collapsed:
        logging.warning(
            "The ensemble that teaches the final student has generations in it that do no better "
            "than chance: %s.",
            ", ".join(map(str, collapsed)),
        )
    print(f"\nThe final student learns from the ensemble; its own run is in {name}.")
    own = run_one(_options(options, name))["generations"][1]
    run = reading.RunReader(options.directory)
    first = reading.read_predictions(run, 1)[0]
    (log_probabilities,) = reading.read_predictions(reading.RunReader(options.directory / name), 2)[
        1:
    ]
    row = {
        "generation": "final",
        "taught_by": f"ensemble of {_in_words(members)}",
        **summary.row(log_probabilities, reading.read_test(run).labels, first),
        "seconds": own["seconds"],
        "extra": {},
        "members": members,
        "directory": name,
    }
    result = {**result, "final_student": row}
    summary.judge(result)
    markdown = table.write_markdown(result, bool(directory.names(reading.ANALYSIS)))
    directory.commit(
        {
            "summary.json": json.dumps(result, indent=1).encode(),
            "summary.md": markdown.encode(),
        }
    )
    text = page.write(content.read(directory.path))
    directory.write_untracked("report.html", text.encode())
    return result


def _options(options: Options, name: str) -> Options:
    """The run of the final student: the ensemble is its generation 0."""
    defaults = Options()
    plain = ("student_arch", "teacher", "share_ends", "activation_weight", "analyse")
    return dataclasses.replace(
        options,
        **{each: getattr(defaults, each) for each in plain},
        gens=1,
        arch=options.architectures[-1],
        teacher_from=str(options.directory / "ensemble.keras"),
        workdir=str(options.directory / name),
        final_student=False,
    )


def _in_words(members: list[int]) -> str:
    return f"generations {members[0]}-{members[-1]}" if len(members) > 1 else "one"
