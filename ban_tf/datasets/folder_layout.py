"""The layouts of a folder of images, and which files belong to which class.

Either `PATH/{train,test}/CLASS`, perhaps with `val`, `valid` or `validation` beside them, in any
case; or `PATH/CLASS`, which is split. Names of classes are compared in their composed form (NFC),
since file systems differ in it, and are in natural order: 2 before 10.
"""

from __future__ import annotations

import collections
import pathlib
import re
import unicodedata
from typing import Any, NamedTuple

from ban_tf.datasets import disk_cache, folder_hints, image_files
from ban_tf.errors import InputError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
ALL = "all"  # the only part of a folder that is to be split
PARTS = {"train": TRAIN, "test": TEST}
PARTS |= dict.fromkeys(("val", "valid", "validation"), VALIDATION)


class Scan(NamedTuple):
    """The files of a folder.

    Attributes:
        class_names: In the order of the labels.
        files: Of each part, with their labels: a class, or zeros and ones.
        passed_over: The numbers of other files by reason.
    """

    class_names: tuple[str, ...]
    files: dict[str, list[tuple[pathlib.Path, Any]]]
    passed_over: collections.Counter[str]


def normalized(name: str) -> str:
    """Returns the name of a class in the form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def parts(path: str) -> dict[str, pathlib.Path]:
    """Returns the folders of the parts: `TRAIN`, `TEST` and perhaps `VALIDATION`, or only `ALL`.

    Raises:
        InputError: The folder does not exist, or has only some of the parts.
    """
    root = folder_hints.existing(path)
    found: dict[str, pathlib.Path] = {}
    for folder in folder_hints.folders(root):
        part = PARTS.get(folder.name.lower())
        if part in found:
            raise InputError(
                f"--dataset=folder:{path} holds both {found[part].name} and {folder.name}; keep "
                "one of them."
            )
        if part is not None:
            found[part] = folder
    if {TRAIN, TEST} <= found.keys():
        return {part: found[part] for part in (TRAIN, VALIDATION, TEST) if part in found}
    # Folders of these names that hold images are classes, such as trains among other vehicles.
    if not found or all(folder_hints.holds_images(folder) for folder in found.values()):
        folder_hints.check_not_a_part(path, root)
        return {ALL: root}
    raise InputError(folder_hints.incomplete(path, found))


def known_parts(dataset: str) -> set[str]:
    """Returns the parts of a folder, "folder:PATH"; none if it cannot be read."""
    try:
        return set(parts(dataset.removeprefix("folder:")))
    except (InputError, OSError):
        return set()


def scan(path: str) -> Scan:
    """Returns the files of a folder.

    Raises:
        InputError: The folder has the wrong layout.
    """
    folders = parts(path)
    passed_over: collections.Counter[str] = collections.Counter()
    if ALL not in folders:
        beside = set(next(iter(folders.values())).parent.iterdir()) - set(folders.values())
        for entry in beside:
            if entry.name == disk_cache.NAME:
                continue
            hidden = image_files.is_hidden(entry.name)
            passed_over[image_files.HIDDEN if hidden else "beside train and test"] += 1
    classes = {part: _classes(path, folder, passed_over) for part, folder in folders.items()}
    _check_same(path, classes)
    main = ALL if ALL in classes else TRAIN
    names = tuple(sorted(classes[main], key=natural))
    if len(names) < 2:
        raise InputError(folder_hints.few_classes(path, folders[main], names))
    files = {
        part: [(file, label) for label, name in enumerate(names) for file in found.get(name, ())]
        for part, found in classes.items()
    }
    return Scan(names, files, passed_over)


def _classes(
    path: str, folder: pathlib.Path, passed_over: collections.Counter[str]
) -> dict[str, list[pathlib.Path]]:
    """Returns the image files of each class in a folder."""
    found: dict[str, list[pathlib.Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name == disk_cache.NAME:
            continue
        if image_files.is_hidden(entry.name):
            passed_over[image_files.HIDDEN] += 1
            continue
        if not entry.is_dir():
            passed_over["outside of the folder of a class"] += 1
            continue
        folder_hints.check_not_a_data_set(path, entry)
        here: collections.Counter[str] = collections.Counter()
        files = image_files.find(entry, here)
        if not files:
            others = f", but files: {folder_hints.counted(here)}" if here else ""
            raise InputError(f"{entry} holds no images{others}.")
        passed_over += here
        found.setdefault(normalized(entry.name), []).extend(files)
    return found


def _check_same(path: str, classes: dict[str, dict[str, list[pathlib.Path]]]) -> None:
    """Checks that test data have the classes of training data, and validation data no others."""
    if ALL in classes:
        return
    train = set(classes[TRAIN])
    if train != set(classes[TEST]):
        only = sorted(train ^ set(classes[TEST]), key=natural)
        raise InputError(
            f"--dataset=folder:{path} must have the same classes in train and test; only in one of "
            f"them: {folder_hints.listed(only)}."
        )
    unknown = sorted(set(classes.get(VALIDATION, ())) - train, key=natural)
    if unknown:
        raise InputError(
            f"--dataset=folder:{path} has classes in its validation folder that are not in train: "
            f"{folder_hints.listed(unknown)}."
        )


def natural(name: str) -> tuple[list[str | int], str]:
    """Returns a key that sorts names by the numbers in them."""
    pieces = re.split(r"(\d+)", name)  # texts and numbers in turns
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name
