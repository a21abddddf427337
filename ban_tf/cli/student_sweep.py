"""`--student_arch=A,B,C`: students of several architectures, of one teacher.

The teacher is generation 0 of --arch, in `teacher` inside --workdir, or that of `--teacher_from`.
Each student is a run of its own beside it, in which the teacher is given, so that all students
share the recorded outputs of the teacher. At the end their errors are listed against their sizes.
With --seeds=N, all of this is in `seed-S` inside --workdir for each seed, and means are listed.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from ban_tf.cli import seed_sweep
from ban_tf.config.options import Options
from ban_tf.distillation import teacher_names
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import MANIFEST, RunDirectory
from ban_tf.system import shown, timing

_TEACHER = "teacher"


def run(options: Options, run_one: Callable[[Options], Any]) -> dict[str, Any]:
    """Runs the unfinished part of the teacher and of each student, and compares all.

    Args:
        options: With several `students`.
        run_one: Runs options, and returns their summary.

    Returns:
        The content of `summary.json`; see `report.students_page`.

    Raises:
        RunDirectoryError: The directory is a run of one student, or cannot be used.
    """
    directory = options.directory
    if os.path.lexists(directory / MANIFEST):
        raise RunDirectoryError(
            f"--workdir={directory} is a run of one student, whose report the comparison of "
            "several would overwrite; choose another directory."
        )
    several = options.seeds > 1
    runs = ("seed-*",) if several else (_TEACHER, "student-*")
    # Locked, so that no other process does the same.
    with RunDirectory(directory, holds=seed_sweep.holds(options, *runs)):
        return _over_seeds(options, run_one) if several else _run(options, run_one)


def _over_seeds(options: Options, run_one: Callable[[Options], Any]) -> dict[str, Any]:
    from ban_tf.report import students_page

    found: list[dict[str, Any]] = []
    for seed in range(options.seed, options.seed + options.seeds):
        directory = options.directory / f"seed-{seed}"
        print(f"\nSeed {seed} ({len(found) + 1} of {options.seeds}), {shown.escaped(directory)}")
        own = dataclasses.replace(options, seed=seed, seeds=1, workdir=str(directory))
        found.append(run(own, run_one))
    return _show(students_page.over_seeds(found), options)


def _run(options: Options, run_one: Callable[[Options], Any]) -> dict[str, Any]:
    # Late, so that --help does not wait for TensorFlow and matplotlib.
    from ban_tf.runs import reading

    given = options.teacher_from
    # One file of the same classes is generation 0; anything else, such as a recording, teaches it.
    is_network = not given or teacher_names.is_first_model(vars(options))
    teacher = pathlib.Path(given or options.directory / _TEACHER / "generation-0" / "model.keras")
    if not given:
        print(f"\nThe teacher, {options.arch}, in {shown.escaped(options.directory / _TEACHER)}")
        run_one(_teacher_options(options))
    found: list[tuple[str, dict[str, Any], pathlib.Path]] = []
    for number, name in enumerate(options.students, start=1):
        own = _student_options(options, name, str(teacher) if is_network else given)
        if not is_network:
            own = dataclasses.replace(own, gens=0)
        where = shown.escaped(own.directory)
        print(f"\nStudent {number} of {len(options.students)}, {name}, in {where}")
        rows = run_one(own)["generations"]
        if not found and is_network:
            known_as = pathlib.Path(given).name if given else options.arch
            found.append((f"teacher, {known_as}", rows[0], teacher))
        path = own.directory / f"generation-{own.gens}" / "model.keras"
        found.append((name, rows[-1], path))
    about = {
        "dataset": options.dataset,
        "objective": options.objective,
        "seed": options.seed,
        "epochs": options.epochs,
    }
    size = reading.read_data_facts(reading.RunReader(own.directory)).input_shape
    # At the end, one after another, so that all times are measured under the same conditions.
    result = {"run": about, "networks": [_entry(*network, size) for network in found]}
    return _show(result, options)


def _show(result: dict[str, Any], options: Options) -> dict[str, Any]:
    from ban_tf.report import students_page

    students_page.write(result, options.directory)
    print("\n" + students_page.markdown(result))
    print(f"The comparison is in {shown.escaped(options.directory / 'report.html')}.")
    return result


def _teacher_options(options: Options) -> Options:
    return dataclasses.replace(
        options,
        gens=0,
        student_arch=None,
        workdir=str(options.directory / _TEACHER),
    )


def _student_options(options: Options, name: str, teacher: str | None) -> Options:
    folder = "student-" + re.sub(r"[^\w.+-]+", "_", name)
    return dataclasses.replace(
        options,
        arch=name,
        student_arch=None,
        teacher_from=teacher,
        workdir=str(options.directory / folder),
        recordings=str(options.recordings_directory),
    )


def _entry(
    name: str, row: dict[str, Any], path: pathlib.Path, size: tuple[int, int, int]
) -> dict[str, Any]:
    """Returns what is compared of a network.

    Args:
        name: Its name.
        row: Its results on the test data, a row of a summary.
        path: Its file.
        size: Height, width and channels of the images.
    """
    import numpy as np

    from ban_tf.compat import compiled
    from ban_tf.distillation import teachers

    model = teachers.load_model(path)
    # Of a model for images of any size, those of the data count.
    shape = [own or known for own, known in zip(model.input_shape[1:], size, strict=True)]
    image = np.zeros((1, *shape), model.inputs[0].dtype)
    call = compiled.inference(lambda images: model(images, training=False), [model])
    return {
        "name": name,
        "error": row["error"],
        "error_interval": list(row["error_interval"]),
        "change_in_error": row["change_in_error"],
        "parameters": model.count_params(),
        "bytes": path.stat().st_size,
        "milliseconds": timing.shortest_milliseconds(lambda: call(image)),
    }
