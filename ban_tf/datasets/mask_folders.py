"""Folders of images and masks of the same names, and the names of their classes.

`segmentation:FOLDER` holds `{train,test}/{images,masks}`, perhaps with `val` beside them, or
`{images,masks}`, which are split. `FOLDER/classes.txt` may name the classes, one a line, in the
order of their indices. `segmentation:shapes`, or `segmentation` alone, needs no files, and
`segmentation:tfds:NAME` is a dataset of TFDS.
"""

from __future__ import annotations

import collections
import pathlib

from ban_tf.datasets import folder_hints, folder_layout, image_files, masks
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION
from ban_tf.datasets.mask_pairs import CLASSES, Pair
from ban_tf.errors import InputError
from ban_tf.system import safe_files, shown

PREFIX = "segmentation"
SHAPES = "shapes"
_TFDS = "tfds:"
IMAGES, MASKS = "images", "masks"


def folder_of(dataset: str) -> str | None:
    """Returns the folder that a dataset names; None for drawn shapes and a TFDS dataset."""
    return None if is_drawn(dataset) or tfds_of(dataset) is not None else dataset.split(":", 1)[1]


def is_drawn(dataset: str) -> bool:
    """Returns whether a dataset is drawn, and has no files."""
    return dataset.partition(":")[2] in ("", SHAPES)


def tfds_of(dataset: str) -> str | None:
    """Returns the name of the TFDS dataset that a dataset names, if it does."""
    name = dataset.partition(":")[2]
    return name.removeprefix(_TFDS) if name.startswith(_TFDS) else None


def root_of(dataset: str) -> pathlib.Path:
    """Returns the folder of a dataset that has one."""
    return pathlib.Path(folder_of(dataset) or "").expanduser()


def check(dataset: str) -> None:
    """Checks the folder of a dataset, and that each image has a mask; opens no image.

    Raises:
        InputError: The folder does not exist, has another layout, or files without a counterpart.
    """
    folder = folder_of(dataset)
    if folder is not None:
        class_names(dataset)
        pairs(dataset)


def known_parts(dataset: str) -> set[str]:
    """Returns the parts of a dataset's files; none if there are none, or they cannot be read."""
    if folder_of(dataset) is None:
        return set()
    try:
        return set(_parts(dataset, root_of(dataset)))
    except (InputError, OSError):
        return set()


def pairs(dataset: str) -> dict[str, list[Pair]]:
    """Returns the images and masks of each part: train, test and perhaps validation, or all.

    Raises:
        InputError: The folder does not exist, has another layout, or files without a counterpart.
    """
    root = root_of(dataset)
    if not root.is_dir():
        raise InputError(
            f"--dataset={dataset} names no folder; give segmentation:FOLDER with the folders "
            "images and masks, or segmentation:shapes."
        )
    found, bad = {}, []
    for part, folder in _parts(dataset, root).items():
        found[part], wrong = _matched(folder)
        bad += wrong
    if bad:
        raise InputError(
            f"--dataset={dataset} has images and masks that do not match ({len(bad)}): "
            f"{folder_hints.few(bad)}"
        )
    for part, some in found.items():
        if len(some) < (2 if part == ALL else 1):
            raise InputError(f"--dataset={dataset} has {len(some)} image(s) in {part}; add some.")
    return found


def _parts(dataset: str, root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the folders that hold `images` and `masks`."""
    inner = {folder.name.lower(): folder for folder in folder_hints.folders(root)}
    if {IMAGES, MASKS} <= inner.keys():
        return {ALL: root}
    parts = {
        folder_layout.PARTS[name]: folder
        for name, folder in inner.items()
        if name in folder_layout.PARTS
    }
    complete = {TRAIN, TEST} <= parts.keys() and all(
        {IMAGES, MASKS} <= {entry.name.lower() for entry in folder_hints.folders(folder)}
        for folder in parts.values()
    )
    if not complete:
        held = folder_hints.listed(inner) or "no folders"
        raise InputError(
            f"--dataset={dataset} holds {held}; it must hold the folders images and masks, or "
            "train and test (and perhaps val), each with the folders images and masks."
        )
    return {part: parts[part] for part in (TRAIN, VALIDATION, TEST) if part in parts}


def _matched(folder: pathlib.Path) -> tuple[list[Pair], list[str]]:
    """Returns the pairs in a folder, and a sentence on each file without a counterpart."""
    bad: list[str] = []
    kinds: dict[str, dict[str, pathlib.Path]] = {}
    for inner in folder_hints.folders(folder):
        kind = inner.name.lower()
        if kind not in (IMAGES, MASKS):
            continue
        files = kinds.setdefault(kind, {})
        for file in image_files.find(inner, collections.Counter()):
            name = file.relative_to(inner).with_suffix("").as_posix()
            if name in files:
                bad.append(f"{shown.escaped(file)} has the name of {files[name].name}.")
            files[name] = file
    images, masked = kinds[IMAGES], kinds[MASKS]
    bad += [f"{shown.escaped(images[name])} has no mask." for name in sorted({*images} - {*masked})]
    bad += [
        f"{shown.escaped(masked[name])} has no image." for name in sorted({*masked} - {*images})
    ]
    common = sorted({*images} & {*masked}, key=folder_layout.natural)
    return [Pair(name, images[name], masked[name]) for name in common], bad


def class_names(dataset: str) -> tuple[str, ...] | None:
    """Returns the names in `classes.txt`; None if there is no such file.

    Raises:
        InputError: The file cannot be read, or does not name classes.
    """
    file = root_of(dataset) / CLASSES
    if not file.is_file():
        return None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = safe_files.reason(error, "it is not UTF-8")
        raise InputError(f"{file} cannot be read as text ({reason}).") from error
    names = tuple(folder_layout.normalized(line.strip()) for line in lines if line.strip())
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if not 2 <= len(names) <= masks.MOST_CLASSES or twice:
        which = f"{twice[0]} twice" if twice else f"{len(names)} classes"
        raise InputError(
            f"{file} has {which}; it must name 2 to {masks.MOST_CLASSES} classes, one a line, in "
            "the order of their indices."
        )
    return names
