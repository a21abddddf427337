"""TensorBoard logs of a lineage: one run per generation, the same tags in each.

`TensorBoardScalars` writes one point per epoch, `write_summary` the final results and the tables.
The event files are derived from the history of the run: whenever a training starts, those of its
generation are rewritten from the history so far. A resumed run therefore has every step once.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
from matplotlib.figure import Figure
from PIL import Image

from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS
from ban_tf.report import plots, table
from ban_tf.system import event_files
from ban_tf.system.files import convert_os_errors

_DOTS_PER_INCH = 180  # of images, which TensorBoard enlarges
_OWN_TAGS = {
    "learning_rate": "schedule/learning_rate",
    "examples_per_second": "speed/examples_per_second",
}


def tag(name: str) -> str:
    """Returns the TensorBoard tag of one of Keras's logs.

    Validation quantities ("val_loss") go to "validation/...", learning rate and throughput to
    their own groups, all others to "training/...".
    """
    if name in _OWN_TAGS:
        return _OWN_TAGS[name]
    if name.startswith("val_"):
        return f"validation/{name.removeprefix('val_')}"
    return f"training/{name}"


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes the logs of each epoch to `<directory>/generation-<k>/`.

    Place it after the callbacks that add to the logs, such as a learning-rate schedule.

    Args:
        directory: The log directory of the lineage, for `tensorboard --logdir`.
        generation: The number of the generation in training.
        rows: The history so far, for a training that is resumed: dictionaries with "epoch",
            counted from one, and logs under Keras's names. Empty and missing values
            are skipped.
    """

    def __init__(
        self,
        directory: str | Path,
        generation: int,
        rows: Iterable[Mapping[str, Any]] = (),
    ):
        super().__init__()
        self._directory = Path(directory) / f"generation-{generation}"
        self._rows = {int(row["epoch"]): _scalars(row) for row in rows}
        self._writer: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Writes the history so far."""
        with convert_os_errors(self._directory):
            self._rewrite()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds an epoch."""
        epoch += 1  # steps count finished epochs, as the history does
        repeated = epoch in self._rows
        self._rows[epoch] = _scalars(logs or {})
        with convert_os_errors(self._directory):
            if repeated:
                # The epoch was trained twice: single events cannot be deleted.
                self._rewrite()
            else:
                self._write(epoch)
                self._writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Closes the event file."""
        with convert_os_errors(self._directory):
            self._writer.close()

    def _rewrite(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = event_files.Writer(self._directory)
        for epoch in sorted(self._rows):
            self._write(epoch)
        self._writer.flush()

    def _write(self, epoch: int) -> None:
        for name, value in self._rows[epoch].items():
            self._writer.scalar(tag(name), value, epoch)


def write_history(
    directory: str | Path, generation: int, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Rewrites the scalars of a finished generation, so that none is missing or repeated.

    Args:
        directory: The log directory of the lineage.
        generation: The number of the generation.
        rows: As in `TensorBoardScalars`.
    """
    scalars = TensorBoardScalars(directory, generation, rows)
    scalars.on_train_begin()
    scalars.on_train_end()


def write_histories(directory: str | Path, generations: Iterable[Any]) -> None:
    """Rewrites the scalars of all generations, with their throughput.

    Args:
        directory: The log directory of the lineage.
        generations: Have `number`, `history` and `timings`; a pretrained one has no rows.
    """
    for generation in generations:
        rows = [dict(row) for row in generation.history]
        for row, timing in zip(rows, generation.timings, strict=False):
            row |= {key: value for key, value in timing.items() if key == "examples_per_second"}
        if rows:
            write_history(directory, generation.number, rows)


def write_summary(
    directory: str | Path,
    summary: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    figures: Mapping[str, Mapping[int, Figure]] | None = None,
    name: str | None = None,
) -> None:
    """Writes the final results and the tables of a run, replacing earlier ones.

    "final/error" and similar tags are curves over generations: one run called "generations", and
    one per kind of ensemble at the number of its last member, so that all overlay. The run
    "generations" also contains the tables (the text "summary"), the figures, and the settings for
    the HParams tab.

    Args:
        directory: The log directory of the lineage.
        summary: A summary as `summary.summarize` builds it.
        settings: The flags of the run; None values are left out.
        figures: Figures by tag and generation.
        name: The name of the run in the HParams tab; a hash of the flags by default.
    """
    curves: dict[str, dict[int, Mapping[str, Any]]] = {
        "generations": {row["generation"]: row for row in summary["generations"]},
        "ensembles": {},
        "ensembles-with-generation-0": {},
    }
    for row in summary["ensembles"]:
        kind = "ensembles" if row["members"][0] else "ensembles-with-generation-0"
        curves[kind][row["members"][-1]] = row
    compared = kinds.of(summary).compared
    given = {key: _plain(value) for key, value in (settings or {}).items() if value is not None}
    for kind, rows in curves.items():
        if not rows:
            continue
        with convert_os_errors(Path(directory) / kind):
            writer = event_files.Writer(Path(directory) / kind)
            if kind == "generations":
                writer.text("summary", table.write_markdown(dict(summary)))
                writer.settings(given, name)
                for number, row in curves["ensembles"].items():
                    writer.scalar(f"final/ensemble_{compared}", row[compared], number)
                for tag_name, pictures in (figures or {}).items():
                    for number, figure in pictures.items():
                        picture = _rgb(plots.png(figure, _DOTS_PER_INCH))
                        writer.image(tag_name, *picture, number)
            for number, row in rows.items():
                for metric in METRICS:
                    if metric in row:
                        writer.scalar(f"final/{metric}", row[metric], number)
            writer.close()


def _rgb(png: bytes) -> tuple[bytes, tuple[int, int]]:
    """Returns an image without transparency, and its width and height."""
    with Image.open(io.BytesIO(png)) as image, io.BytesIO() as file:
        image.convert("RGB").save(file, "PNG")
        return file.getvalue(), image.size


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in logs.items()
        if name != "epoch" and value is not None and value != ""
    }
