"""`--final_student`: distills the whole ensemble into one network.

The ensemble of the born-again generations becomes the pretrained teacher of one more student, in
a nested run inside the run's directory; its row is added to the tables of the run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from absl import logging

from ban_tf.config.options import Options
from ban_tf.metrics import summary
from ban_tf.report import content, table
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import results


def add(
    options: Options,
    last: int,
    result: dict[str, Any],
    directory: RunDirectory,
    run_one: Callable[[Options], dict[str, Any]],
    measured: Callable[[reading.RunReader, reading.RunReader], dict[str, Any]],
) -> dict[str, Any]:
    """Trains the final student, unless it is finished, and writes the run's reports with it.

    Args:
        options: The options of the run, whose generations are finished.
        last: The number of the last generation.
        result: The summary of the run; empty on workers other than the chief.
        directory: The run directory, opened by the chief.
        run_one: Runs options and returns their summary.
        measured: See `Task.final_row`.

    Returns:
        The summary with the final student.
    """
    # Each ensemble has its own student.
    name = f"final_student-{last}"
    if not result:
        run_one(_options(options, name))
        return {}
    members = list(range(1, last + 1)) or [0]
    collapsed = [
        member for member in members if result["generations"][member]["extra"].get("collapsed")
    ]
    if collapsed:
        logging.warning(
            "The ensemble that teaches the final student contains generations that are no better "
            "than chance: %s.",
            ", ".join(map(str, collapsed)),
        )
    print(f"\nThe final student is distilled from the ensemble; its run is in {name}.")
    own = run_one(_options(options, name))["generations"][1]
    runs = (reading.RunReader(path) for path in (options.directory, options.directory / name))
    row = {
        "generation": "final",
        "taught_by": f"ensemble of {_members_text(members)}",
        **measured(*runs),
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
    results.write_page(content.read(directory.path), options, directory)
    return result


def _options(options: Options, name: str) -> Options:
    """Returns the options of the final student's run: the ensemble is its generation 0."""
    defaults = Options()
    plain = (
        *("student_arch", "teacher", "share_ends", "activation_weight", "analyse"),
        *("feature_weight", "feature_layers", "feature_loss"),
        "teacher_classes",
        "teacher_input",  # the ensemble takes the pixels that the run recorded
    )
    return dataclasses.replace(
        options,
        **{flag: getattr(defaults, flag) for flag in plain},
        gens=1,
        arch=options.architectures[-1],
        teacher_from=str(options.directory / "ensemble.keras"),
        workdir=str(options.directory / name),
        final_student=False,
    )


def _members_text(members: list[int]) -> str:
    return f"generations {members[0]}-{members[-1]}" if len(members) > 1 else "one"
