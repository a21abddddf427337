"""Prepared image datasets of TensorFlow Datasets, read without it and without TensorFlow.

For other backends: the files that TFDS has prepared in `--data_dir`, as TFRecord. Images are
decoded by Pillow: PNG to the pixels that TFDS has; JPEG to slightly other ones, as TensorFlow
decodes it faster and less exactly.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from ban_tf.datasets import tfds_reading, tfrecords
from ban_tf.datasets.tfds_reading import Keys
from ban_tf.errors import InputError
from ban_tf.system import safe_files

_INFO, _FEATURES = "dataset_info.json", "features.json"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class FileSource(tfds_reading.Source):
    """A prepared dataset; see `open_prepared`."""

    def _batches(
        self, split: str, count: int, first: int, size: int, encoded: bool
    ) -> Iterator[tuple[Any, np.ndarray]]:
        files = self.builder.info.splits[split].files
        every = itertools.chain.from_iterable(map(tfrecords.examples, files))
        chosen = itertools.islice(every, first, count)
        while some := list(itertools.islice(chosen, size)):
            labels = np.array([self._label(example) for example in some])
            contents: list[Any] = [example[self.keys.image] for example in some]
            yield (contents if encoded else np.stack(list(map(self._pixels, contents)))), labels
            first += len(some)
        if first < count:
            raise InputError(
                f"--dataset={self.name}: its split {split} has {first} of {count} examples. Delete "
                "the dataset's folder and prepare it again."
            )

    def _checked(self, split: str, rows: Iterator[int]) -> Iterator[int]:
        return rows

    @property
    def _are_lists(self) -> bool:
        return False

    def _label(self, example: Mapping[str, Any]) -> int:
        return int(example[self.keys.label])

    def _pixels(self, content: Any) -> np.ndarray:
        from PIL import Image

        shape = self.builder.info.features[self.keys.image].shape
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[shape[-1]]))
        return pixels.reshape(shape)


@dataclasses.dataclass(frozen=True)
class _Builder:
    """What `tfds` and `tfds_reading` use of a builder of TFDS."""

    data_path: pathlib.Path
    info: Any


def open_prepared(name: str, data_dir: str | None) -> tuple[_Builder, Keys, tuple[str, ...]]:
    """Returns what describes a prepared dataset, the names of its features, and its classes.

    Args:
        name: As in TFDS: "cifar10", "cifar10:3.0.2", "imagenette/160px-v2".
        data_dir: The directory of TFDS data; TFDS's default if None.

    Raises:
        InputError: It is not prepared there, or is not one of labeled images in TFRecord files.
    """
    path = _folder(name, data_dir)
    info, described = (_json(path / file, name) for file in (_INFO, _FEATURES))
    try:
        if info.get("fileFormat", "tfrecord") != "tfrecord":
            raise InputError(
                f"--dataset={name} has files of the format {info['fileFormat']}, which needs "
                "TensorFlow Datasets; set KERAS_BACKEND=tensorflow."
            )
        features = described["featuresDict"]["features"]
        image, label = _keys(info)
        if "image" not in features.get(image, ()) or "classLabel" not in features.get(label, ()):
            raise InputError(
                f"--dataset={name} is not an image-classification dataset: it needs an image and a "
                f"class label, and has {', '.join(features) or 'neither'}."
            )
        pixels = features[image]["image"]
        size = [int(number) for number in pixels["shape"]["dimensions"]]
        shape = tuple(number if number >= 0 else None for number in size)
        feature = SimpleNamespace(shape=shape, np_dtype=np.dtype(pixels.get("dtype", "uint8")))
        splits = {split["name"]: _split(path, info["name"], split) for split in info["splits"]}
        count = int(features[label]["classLabel"]["numClasses"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"--dataset={name}: {path} is no dataset of TFDS that can be read ({error!r})."
        ) from error
    names = path / f"{label}.labels.txt"
    classes = [str(number) for number in range(count)]
    if names.is_file():
        classes = safe_files.read_below(names).decode().splitlines()
    builder = _Builder(path, SimpleNamespace(features={image: feature}, splits=splits))
    return builder, Keys(image, label), tuple(classes)


def _folder(name: str, data_dir: str | None) -> pathlib.Path:
    """Returns the folder of a dataset: the given version, or the newest one."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    root = pathlib.Path(data_dir or default).expanduser()
    path, _, version = name.partition(":")
    folder = root / path
    versions = [
        found.name
        for found in folder.glob("*")
        if _VERSION.fullmatch(found.name) and found.is_dir()
    ]
    versions.sort(key=lambda found: [int(number) for number in found.split(".")])
    wanted = [found for found in versions if found == version] if version else versions
    if not wanted:
        raise InputError(
            f"--dataset={name} is not in {root}: without TensorFlow it is not downloaded. Give the "
            "directory that holds it with --data_dir, or prepare it with TensorFlow Datasets."
        )
    return folder / wanted[-1]


def _json(file: pathlib.Path, name: str) -> dict[str, Any]:
    try:
        return json.loads(safe_files.read_below(file))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--dataset={name}: {file} cannot be read.") from error


def _keys(info: Mapping[str, Any]) -> tuple[str, str]:
    items = info.get("supervisedKeys", {}).get("tuple", {}).get("items", [])
    keys = [item.get("featureKey") for item in items]
    return (keys[0], keys[1]) if len(keys) > 1 and all(keys[:2]) else ("image", "label")


def _split(path: pathlib.Path, dataset: str, split: Mapping[str, Any]) -> Any:
    lengths = [int(length) for length in split.get("shardLengths", ())]
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    parts = {"DATASET": dataset, "SPLIT": split["name"], "FILEFORMAT": "tfrecord"}
    files = [
        path
        / template.format(
            **parts,
            SHARD_X_OF_Y=f"{shard:05d}-of-{len(lengths):05d}",
            SHARD_INDEX=f"{shard:05d}",
            NUM_SHARDS=f"{len(lengths):05d}",
        )
        for shard in range(len(lengths))
    ]
    return SimpleNamespace(num_examples=sum(lengths), files=files)
