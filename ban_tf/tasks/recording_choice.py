"""Whether a run records its teachers on request alone, and how much space that takes."""

from __future__ import annotations

from ban_tf.config.options import Options
from ban_tf.distillation import recording
from ban_tf.errors import InputError
from ban_tf.runs.rundir import RunDirectory


def is_recorded(options: Options, directory: RunDirectory) -> bool:
    """Returns whether a run records its teachers, on request alone; a resumed one does as before.

    Args:
        options: The options of the run.
        directory: The run directory, in which the decision is stored.
    """
    decided = directory.metadata.get("teacher_signal")
    if decided is None:
        decided = {"recorded": options.teacher_signal == "recorded", "views": 1}
        directory.commit(metadata={"teacher_signal": decided})
    return decided["recorded"]


def needed_space(options: Options, *forms: recording.Form) -> int:
    """Returns the bytes of the recorded outputs of all teachers of a run, each of these shapes."""
    teachers = 1 if options.teacher == "first" else options.generations
    return teachers * sum(form.bytes for form in forms)


def describe_space(options: Options, *forms: recording.Form) -> str:
    """Returns a sentence about the size of the recordings of a run, for the screen."""
    needed = recording.in_words(needed_space(options, *forms))
    kept = "all" if options.teacher_top is None else f"the {options.teacher_top} largest"
    of_each = "word" if len(forms[0].positions) == 1 else "pixel"
    return (
        f"Recorded teachers take {needed} in {options.recordings_directory}: {kept} of the "
        f"{forms[0].classes:,} outputs of each {of_each}."
    )


def check_space(options: Options, *forms: recording.Form) -> None:
    """Checks that the recordings of a run fit on the disk.

    Raises:
        InputError: They do not, or --teacher_top does not fit the classes.
    """
    needed, folder = needed_space(options, *forms), options.recordings_directory
    free = recording.free_space(folder)
    there = sum(file.stat().st_size for file in folder.glob("*/view-*"))  # of this run, perhaps
    if needed > free + there:
        raise InputError(
            f"--teacher_signal=recorded needs {recording.in_words(needed)} in {folder}, where "
            f"{recording.in_words(free)} are free; give --teacher_top=N to record the N largest "
            "probabilities alone, another --recordings, or --teacher_signal=online."
        )
