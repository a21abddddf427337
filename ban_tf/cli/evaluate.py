"""`ban-tf evaluate RUN --dataset=...`: evaluates a run's models on new data."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from ban_tf.cli import common as command
from ban_tf.datasets import folder_hints
from ban_tf.errors import InputError
from ban_tf.report import table
from ban_tf.runs import outputs
from ban_tf.system import shown
from ban_tf.tasks.run import Run, check_use

NAME = "ban-tf evaluate"
USAGE = """ban-tf evaluate RUN --dataset=NAME [flags]

Evaluates every finished generation and the ensembles on the test split of a dataset, with the
preprocessing of the run. The classes must be those of the run's training data. Of a folder of
classes without train and test, all images are test data, and classes may be missing. For a run on
text, text:PATH is one file, or a folder with *.test.txt, and the vocabulary is that of the run. For
a run on labeled texts, documents:FOLDER or csv:FILE without a test part is test data as a whole,
and so is another table than its own for a run on a table, and segmentation:FOLDER for a run on
masks, unless it is the folder that the run was trained on. The network of --final_student is a run
of its own, RUN/final_student-N. Without its row, adjusted p-values and what is significant may
differ from the summary of the run.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "dataset",
        None,
        "Data of the kind that the run was trained on, named as for ban-tf train: digits, a TFDS "
        "dataset, folder:PATH, csv:FILE, multilabel:FILE, regression:FILE, segmentation:FOLDER, "
        "table:FILE, documents:FOLDER or text:PATH.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string("data_dir", None, "Directory of TFDS datasets.", flag_values=values)
    flags.DEFINE_bool(
        "skip_bad_files",
        False,
        "Leave out images that cannot be read, as a run that was trained with it always does.",
        flag_values=values,
    )
    flags.DEFINE_string("json", None, "Also write the results to this file.", flag_values=values)


def _work(values: flags.FlagValues, names: list[str]) -> None:
    if len(names) != 1:
        raise InputError("name one run, such as runs/digits-wrn-16-1-kd+labels-0.")
    dataset = values.dataset
    check_use(dataset, values.data_dir, values.skip_bad_files)  # before anything is read
    path = values.json
    if path:
        outputs.check_file(path, f"--json={path}")
    run = Run(names[0])
    command.import_backend()
    result = run.evaluate(dataset, values.data_dir, values.skip_bad_files)
    if path:  # first, as the reader of what is printed may be gone
        try:
            pathlib.Path(path).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--json={path} cannot be written ({error.strerror}).") from error
    table.show(result)
    print(shown.escaped(f"predict and export: {run.preferred.reason}"))
    missing = result["run"].get("missing_classes")
    if missing:
        few = shown.escaped(folder_hints.listed(missing))
        print(f"Classes of the run without images ({len(missing)}), which do not count: {few}.")
    unknown = result["run"].get("unknown_words")
    if unknown is not None:
        print(f"{100 * unknown:.1f} % of the words are unknown to the run: all count as one word.")
