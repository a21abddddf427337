"""Loads listed image files, of a folder or a table, as training, validation and test data."""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

from ban_tf.datasets import decoding, disk_cache, duplicates, folder_hints, splits
from ban_tf.datasets.decoding import Decoded, Target
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION, Scan
from ban_tf.datasets.image_data import Parts, Reading, Split
from ban_tf.datasets.image_files import Header
from ban_tf.errors import InputError
from ban_tf.system import flag_names, shown

_NUMBERS = "If these are numbers to predict and no classes, give --dataset=regression:FILE."


def load(dataset: str, root: pathlib.Path, scan: Scan, how: Reading) -> Parts:
    """Loads images of any sizes.

    Without a size they are resized to the most common one; if all are gray, there is one channel,
    otherwise three.

    Args:
        dataset: The value of `--dataset`, for messages.
        root: The folder that holds the files, and the cache if there is one.
        scan: The files.
        how: How they are read.

    Raises:
        InputError: An image cannot be read, a class has too few, or a cache cannot be written.
    """
    folder_hints.warn_of_passed_over(root, scan.passed_over)
    entries = [entry for part in scan.files.values() for entry in part]
    files, labels = [file for file, _ in entries], np.array([label for _, label in entries])
    if labels.dtype.kind != "f" or not len(labels):
        labels = labels.astype(np.int32)
    every = Split(np.empty(0), labels, tuple(_name(file, root) for file in files))
    target = target_of(root, files, how)
    on_disk = disk_cache.is_wanted(how.cache, target.forms(len(files))["images"].bytes)
    decoded = decoding.read_files(
        dataset, root, every.files or (), files, target, on_disk, how.show_progress
    )
    _check_bad(dataset, root, decoded, how.skip_bad_files)
    every = dataclasses.replace(every, images=decoded.images)
    rows = _good_rows(scan, decoded)
    if ALL in rows:
        rows = _cut_test(dataset, rows[ALL], every.labels, how.test_fraction, scan.class_names)
    for part in (TRAIN, TEST):
        _check_left(dataset, part, every.labels[rows[part]], scan.class_names)
    _report_identical(root, files, every.labels, decoded, rows)
    found = {part: every.select(chosen) for part, chosen in rows.items()}
    skipped = tuple(decoded.bad.values())
    return Parts(found[TRAIN], found[TEST], scan.class_names, found.get(VALIDATION), skipped)


def _name(file: pathlib.Path, root: pathlib.Path) -> str:
    try:
        return file.relative_to(root).as_posix()
    except ValueError:  # a table may list files elsewhere
        return file.as_posix()


def target_of(root: pathlib.Path, files: Sequence[pathlib.Path], how: Reading) -> Target:
    """Returns the size and channels of images, as given or as found in their headers.

    Args:
        root: The folder that holds them, for a warning.
        files: The files.
        how: How they are read.
    """
    if how.image_size and how.channels:
        return Target(how.image_size, how.resize, how.channels)
    headers = decoding.read_headers(files, size_known=how.image_size is not None)
    channels = how.channels or max((header.channels for header in headers), default=1)
    size = how.image_size or _common_size(root, headers, how.resize)
    return Target(size, how.resize, channels)


def _common_size(root: pathlib.Path, headers: Sequence[Header], method: str) -> tuple[int, int]:
    sizes = collections.Counter(header.size for header in headers)
    if not sizes:
        return (1, 1)  # there are only bad files
    size = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        height, width = size
        logging.warning(
            "%s",
            flag_names.worded(
                f"{root}: images of {len(sizes)} sizes are resized to the most common one, "
                f"{height}x{width} (--resize={method}); choose one yourself with --image_size."
            ),
        )
    return size


def _check_bad(dataset: str, root: pathlib.Path, decoded: Decoded, skip: bool) -> None:
    bad = list(decoded.bad.values())
    if bad and not skip:
        raise InputError(
            f"--dataset={dataset} has bad files ({len(bad)}): {folder_hints.few(bad)} Repair or "
            "delete them, or leave them out with --skip_bad_files."
        )
    folder_hints.warn_of_left_out(root, bad)


def _good_rows(scan: Scan, decoded: Decoded) -> dict[str, np.ndarray]:
    """Returns the rows of each part, without those of bad files."""
    rows, start = {}, 0
    for part, entries in scan.files.items():
        there = np.arange(start, start + len(entries))
        rows[part] = there[~np.isin(there, list(decoded.bad))]
        start += len(entries)
    return rows


def _cut_test(
    dataset: str, rows: np.ndarray, labels: np.ndarray, fraction: float, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Splits images without a test part."""
    labels = labels[rows]
    noun = "label" if labels.ndim > 1 else "class"
    for name, count in zip(names, _counts(labels, len(names)), strict=True):
        if count < 2:
            raise InputError(
                f"--dataset={dataset}: {noun} {name} has {count} image(s); at least two are "
                "needed, one to train with and one to test with."
                + (f" {_NUMBERS}" if all(map(_is_number, names)) else "")
            )
    held_out = splits.choose_test(labels, fraction)
    return {TRAIN: rows[~held_out], TEST: rows[held_out]}


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False


def _report_identical(
    root: pathlib.Path,
    files: Sequence[pathlib.Path],
    labels: np.ndarray,
    decoded: Decoded,
    rows: dict[str, np.ndarray],
) -> None:
    identical = duplicates.describe(
        {
            part: [
                duplicates.Known(files[row], _known(labels[row]), decoded.digests[row].tobytes())
                for row in chosen
            ]
            for part, chosen in rows.items()
        }
    )
    if identical:
        logging.warning("%s: identical images: %s.", root, shown.escaped(identical))


def _check_left(dataset: str, part: str, labels: np.ndarray, names: tuple[str, ...]) -> None:
    if part == TEST and labels.ndim > 1:
        return  # a label need not be in the test data
    for label in np.flatnonzero(_counts(labels, len(names)) == 0):
        raise InputError(
            f"--dataset={dataset}: no image of {names[label]} in {part} can be read, so that "
            "nothing is left of this class; repair its files."
        )


def _counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns how many images have each class or label; all have a number."""
    if labels.dtype.kind == "f":
        return np.full(classes, len(labels))
    return labels.sum(axis=0) if labels.ndim > 1 else np.bincount(labels, minlength=classes)


def _known(label: np.ndarray) -> float | tuple[int, ...]:
    return tuple(label.tolist()) if label.ndim else label.item()
