"""The content of a report, read from a run directory before anything is written."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ban_tf.datasets import thumbnails
from ban_tf.errors import RunDirectoryError
from ban_tf.metrics import ensembles, kinds, labels
from ban_tf.runs import class_files, label_files, number_files, reading, segments, table_files
from ban_tf.system import shown

_FIRST = "generation-0"


@dataclasses.dataclass(frozen=True)
class Content:
    """The content of a report on any finished run.

    Attributes:
        path: Its directory.
        summary: See `metrics.summary`.
        histories: Each generation's rows, one per epoch.
        resume: The command that resumes the run.
        analysis: The PNG file of `--analyse`; None without that flag.
        exports: The name of each quantized export in the run, and its measurements.
        noun: What names of test examples are: "file", or "row" of a table.
    """

    path: pathlib.Path
    summary: dict[str, Any]
    histories: dict[int, list[dict[str, float]]]
    resume: str
    analysis: bytes | None
    exports: dict[str, dict[str, Any]]
    noun: str


@dataclasses.dataclass(frozen=True)
class ClassContent(Content):
    """The further content of a report on a run of classifiers.

    Attributes:
        class_names: In the order of the classes.
        predictions: Each generation's log-probabilities [examples, classes].
        labels: The true classes of the test set, integers [examples].
        names: The name of each test example, such as its file; None if they have none.
    """

    class_names: tuple[str, ...]
    predictions: list[np.ndarray]
    labels: np.ndarray
    names: tuple[str, ...] | None

    def ensemble(self) -> tuple[list[int], np.ndarray]:
        """Returns the saved ensemble: its members and its log-probabilities."""
        members = list(range(1, len(self.predictions))) or [0]
        return members, ensembles.mean_log_probabilities(
            [self.predictions[member] for member in members], self.summary["average"]
        )

    def named_predictions(self) -> dict[str, np.ndarray]:
        """Returns the log-probabilities of every generation and of the ensemble, by name."""
        named = {f"generation {number}": rows for number, rows in enumerate(self.predictions)}
        members, mean = self.ensemble()
        if len(members) > 1:
            named[f"ensemble {members[0]}-{members[-1]}"] = mean
        return named


@dataclasses.dataclass(frozen=True)
class ImageContent(ClassContent):
    """The further content of a report on a run on images.

    Attributes:
        test: Labels, and the stored images.
        near_duplicates: How many test images nearly equal a training image, and some pairs.
    """

    test: reading.Test
    near_duplicates: tuple[int, list[tuple[str, str]]] = (0, [])


@dataclasses.dataclass(frozen=True)
class SegmentationContent(Content):
    """The further content of a report on a run on masks.

    Attributes:
        class_names: In the order of the classes.
        segments: What is measured of the test images, and pictures of some.
    """

    class_names: tuple[str, ...]
    segments: segments.Segments


@dataclasses.dataclass(frozen=True)
class TextContent(ClassContent):
    """The further content of a report on a run of text classifiers.

    Attributes:
        texts: The beginnings of some test examples, by their number.
    """

    texts: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class NumberContent(Content):
    """The further content of a report on a run that predicts numbers.

    Attributes:
        predictions: Each generation's numbers, float64 [examples].
        targets: The true numbers of the test set, float64 [examples].
        names: The name of each test example; None if they have none.
        pictures: Images of some of them; None if they are no images.
    """

    predictions: list[np.ndarray]
    targets: np.ndarray
    names: tuple[str, ...] | None
    pictures: number_files.Pictures | None

    def named_predictions(self) -> dict[str, np.ndarray]:
        """Returns the numbers of every generation and of the saved ensemble, by name."""
        named = {f"generation {number}": rows for number, rows in enumerate(self.predictions)}
        if len(self.predictions) > 2:
            name = f"ensemble 1-{len(self.predictions) - 1}"
            named[name] = np.mean(self.predictions[1:], axis=0)
        return named


@dataclasses.dataclass(frozen=True)
class LabelContent(Content):
    """The further content of a report on images with several labels each.

    Attributes:
        label_names: In the order of the outputs.
        predictions: The probabilities [examples, labels] of every generation and of the ensemble,
            by its name.
        thresholds: Of these models, the probabilities from which labels are predicted [labels].
        test: Labels, and the stored images.
        near_duplicates: As for images of one class.
    """

    label_names: tuple[str, ...]
    predictions: dict[str, np.ndarray]
    thresholds: dict[str, np.ndarray]
    test: reading.Test
    near_duplicates: tuple[int, list[tuple[str, str]]]

    @property
    def names(self) -> tuple[str, ...] | None:
        """The name of each test example, such as its file; None if they have none."""
        return self.test.files


@dataclasses.dataclass(frozen=True)
class WordContent(Content):
    """The further content of a report on a run of language models.

    Attributes:
        scores: What each generation predicted for each word of the test text; see
            `class_files.read_word_scores`.
        texts: Some of these words with those around them, by their index.
    """

    scores: list[dict[str, np.ndarray]]
    texts: Mapping[int, str]


def read(path: str | pathlib.Path, lost: Collection[int] = ()) -> Content:
    """Reads a finished run.

    Args:
        path: Its directory.
        lost: Generations whose histories are known to be damaged, and are left out.

    Returns:
        An `ImageContent`, or a `SegmentationContent`; a `ClassContent` for other classifiers whose
        predictions are kept; a `NumberContent` where numbers are predicted; a plain `Content` for
        all others.

    Raises:
        InputError: There is no run, it is not finished, or a file is damaged.
    """
    run = reading.RunReader(path)
    summary = reading.read_summary(run)
    generations = len(summary["generations"])
    common: dict[str, Any] = {
        "path": run.path,
        "summary": summary,
        "histories": {
            number: _with_label_loss([] if number in lost else reading.read_history(run, number))
            for number in range(generations)
        },
        "resume": reading.resume(run),
        "analysis": run.read(reading.ANALYSIS) if run.names(reading.ANALYSIS) else None,
        "exports": reading.read_quantized_exports(run),
        "noun": "row" if table_files.COLUMNS in run.names() else "file",
    }
    if reading.CLASSES in run.names():
        return _of_classes(run, common, generations)
    if number_files.TARGETS in run.names():
        return _of_numbers(run, common, generations)
    if reading.DATA not in run.names():
        if kinds.of(summary) is kinds.LANGUAGE and f"{_FIRST}/predictions.npz" in run.names():
            return _of_words(run, common, generations)
        return Content(**common)
    if kinds.of(summary) is kinds.SEGMENTATION:
        return _of_masks(run, common, generations)
    if reading.THRESHOLDS in run.names():
        return _of_labels(run, common, generations)
    predictions = reading.read_predictions(run, generations)
    test = reading.read_test(run)
    facts = reading.read_data_facts(run)
    shape = (len(test.labels), len(facts.class_names))
    thumbnail = (*thumbnails.size(*facts.input_shape[:2]), facts.input_shape[2])
    if (
        test.labels.max() >= shape[1]
        or test.images.shape[1:] not in (facts.input_shape, thumbnail)
        or not np.isin(test.shown, np.arange(shape[0])).all()
    ):
        raise RunDirectoryError(
            f"{run.path / reading.TEST} has other classes or images than {reading.DATA} describes."
        )
    _check_shapes(run, predictions, shape)
    return ImageContent(
        **common,
        class_names=tuple(map(shown.escaped, facts.class_names)),
        predictions=predictions,
        labels=test.labels,
        names=test.files,
        test=test,
        near_duplicates=reading.read_near_duplicates(run),
    )


def _of_masks(
    run: reading.RunReader, common: dict[str, Any], generations: int
) -> SegmentationContent:
    """Reads what a run on masks has kept."""
    facts = reading.read_data_facts(run)
    kept = segments.read(run, len(facts.class_names))
    wanted = [f"generation {number}" for number in range(generations)]
    if list(kept.models[:generations]) != wanted or len(kept.models) > generations + 1:
        raise RunDirectoryError(f"{run.path / segments.MODELS} has other models than the run.")
    names = tuple(map(shown.escaped, facts.class_names))
    kept = kept._replace(models=tuple(map(shown.escaped, kept.models)))
    return SegmentationContent(**common, class_names=names, segments=kept)


def _of_classes(run: reading.RunReader, common: dict[str, Any], generations: int) -> ClassContent:
    """Reads what classifiers of something else than images have kept."""
    class_names = class_files.read_classes(run)
    labels, names = class_files.read_labels(run)
    predictions = reading.read_predictions(run, generations)
    if labels.max() >= len(class_names):
        raise RunDirectoryError(f"{run.path / class_files.LABELS} has other classes than the run.")
    _check_shapes(run, predictions, (len(labels), len(class_names)))
    common |= {"class_names": tuple(map(shown.escaped, class_names)), "predictions": predictions}
    common |= {"labels": labels, "names": names}
    texts = class_files.read_snippets(run)
    return TextContent(**common, texts=texts) if texts else ClassContent(**common)


def _of_numbers(run: reading.RunReader, common: dict[str, Any], generations: int) -> NumberContent:
    """Reads what models that predict numbers have kept."""
    targets = number_files.read_targets(run)
    predictions = [
        number_files.read_numbers(run, number_files.of_generation(number))
        for number in range(generations)
    ]
    _check_shapes(run, predictions, targets.shape)
    names = reading.names_of_examples(run, len(targets))
    pictures = number_files.read_pictures(run)
    return NumberContent(
        **common, predictions=predictions, targets=targets, names=names, pictures=pictures
    )


def _of_labels(run: reading.RunReader, common: dict[str, Any], generations: int) -> LabelContent:
    """Reads what classifiers of independent labels have kept."""
    facts = reading.read_data_facts(run)
    test = reading.read_test(run, several=True)
    names = tuple(map(shown.escaped, facts.class_names))
    odds = [
        label_files.log_odds(run, f"generation-{number}/predictions.npz")
        for number in range(generations)
    ]
    _check_shapes(run, [*odds, test.labels], (len(test.labels), len(names)))
    average = common["summary"]["average"]
    thresholds = label_files.thresholds(run, len(names))
    models: dict[str, tuple[int, ...]] = {
        f"generation {number}": (number,) for number in range(generations)
    }
    if generations > 2:
        models[f"ensemble 1-{generations - 1}"] = tuple(range(1, generations))
    if not thresholds.keys() >= set(models.values()):
        raise RunDirectoryError(f"{run.path / reading.THRESHOLDS} lacks a model of the summary.")
    return LabelContent(
        **common,
        label_names=names,
        predictions={
            name: labels.mean_probabilities([odds[member] for member in members], average)
            for name, members in models.items()
        },
        thresholds={name: thresholds[members] for name, members in models.items()},
        test=test,
        near_duplicates=reading.read_near_duplicates(run),
    )


def _of_words(run: reading.RunReader, common: dict[str, Any], generations: int) -> WordContent:
    """Reads what language models have kept."""
    scores = [class_files.read_word_scores(run, number) for number in range(generations)]
    texts = class_files.read_snippets(run)
    counts = {len(of_one["wrong"]) for of_one in scores}
    if len(counts) > 1 or max(texts, default=0) >= min(counts):
        raise RunDirectoryError(f"{run.path} has predictions of different numbers of words.")
    return WordContent(**common, scores=scores, texts=texts)


def _check_shapes(
    run: reading.RunReader, predictions: list[np.ndarray], shape: tuple[int, ...]
) -> None:
    for number, rows in enumerate(predictions):
        if rows.shape != shape:
            raise RunDirectoryError(
                f"{run.path}/generation-{number}/predictions.npz has shape {rows.shape}, but "
                f"the test set needs {shape}."
            )


def _with_label_loss(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Adds the label loss to rows; without a teacher, it is the loss."""
    return [
        row
        if "val_label_loss" in row or "val_loss" not in row
        else {**row, "val_label_loss": row["val_loss"]}
        for row in rows
    ]
