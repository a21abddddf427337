"""Image-classification datasets of TensorFlow Datasets.

Errors are raised before anything is downloaded if possible: an unknown name, features other than
labeled images of one size, no network. Only then is the data prepared, if necessary, and read in
the order of its files.
"""

from __future__ import annotations

import difflib
import io
import pathlib
import re
from typing import Any

import numpy as np

from ban_tf.datasets import folder_hints
from ban_tf.datasets.image_data import Split
from ban_tf.errors import InputError
from ban_tf.system import hardware
from ban_tf.system.files import file_lock, write_atomically

_BATCH = 1000
_LARGEST_SHARE = 0.5  # fraction of the memory for decoded images
_NETWORK_TIMEOUT = 10  # seconds


def load(
    name: str, data_dir: str | None, train_examples: int | None, cache: str = "memory"
) -> tuple[Split, Split, tuple[str, ...]]:
    """Returns training data, test data and the names of the classes.

    Args:
        name: The name in TFDS, for example "cifar10".
        data_dir: The directory of TFDS data; TFDS's default if None.
        train_examples: Use only this number of first training examples.
        cache: See `datasets.load`.

    Raises:
        InputError: The dataset is unknown, cannot be downloaded, or is not one of labeled images
            of one size with a training and a test split.
    """
    builder = _builder(name, data_dir)
    _check_features(name, builder.info.features)
    # Checked here because `is_prepared` logs a warning if there is nothing.
    if not (builder.data_path / "dataset_info.json").exists():
        _prepare(name, builder)
    if not {"train", "test"} <= set(builder.info.splits):
        raise InputError(
            f"--dataset={name} must have the splits train and test; it has "
            f"{', '.join(builder.info.splits) or 'none'}."
        )
    available = builder.info.splits["train"].num_examples
    if train_examples is not None and not 0 < train_examples <= available:
        raise InputError(
            f"--train_examples={train_examples} must be between 1 and the {available} training "
            f"examples of --dataset={name}."
        )
    train = "train" if train_examples is None else f"train[:{train_examples}]"
    class_names = tuple(builder.info.features["label"].names)
    if cache == "auto":
        most = _LARGEST_SHARE * (hardware.memory() or 0)
        cache = "disk" if _bytes(builder) > most else "memory"
    read = _read_from_disk if cache == "disk" else _read
    return read(name, builder, train), read(name, builder, "test"), class_names


def _bytes(builder: Any) -> int:
    """Returns the size of all decoded images."""
    count = sum(builder.info.splits[part].num_examples for part in ("train", "test"))
    return count * int(np.prod(builder.info.features["image"].shape))


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        forgotten = folder_hints.forgotten(name)
        if forgotten:
            raise InputError(f"--dataset={name} is not a TFDS dataset. {forgotten}") from error
        close = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise InputError(
            f"--dataset={name} is unknown; {hint}Give digits, the name of a TFDS dataset, or "
            "folder:PATH."
        ) from error
    except Exception as error:  # malformed names, configs and versions raise different types
        why = folder_hints.forgotten(name) or _first_line(error)
        raise InputError(f"--dataset={name} cannot be used: {why}") from error


def _check_features(name: str, features: Any) -> None:
    import tensorflow_datasets as tfds

    known = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = known.get("image"), known.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise InputError(
            f"--dataset={name} is not an image-classification dataset: it needs an image and a "
            f"class label, and has {', '.join(known) or 'neither'}."
        )
    if image.np_dtype != np.uint8:
        raise InputError(
            f"--dataset={name} must have images of 8 bits per channel; it has "
            f"{np.dtype(image.np_dtype).name}."
        )
    if None in image.shape:
        raise InputError(
            f"--dataset={name} has images of different sizes; resize them to one size as "
            "--dataset=folder:PATH."
        )


def _prepare(name: str, builder: Any) -> None:
    # <root>/<name>[/<config>]/<version>
    root = builder.data_path.parents[builder.info.full_name.count("/")]
    if not _reachable(builder, root / "downloads"):
        why = "it would have to be downloaded, and there is no network"
        raise InputError(_absent(name, root, why))
    try:
        builder.download_and_prepare()
    except Exception as error:
        why = f"preparing it failed ({_first_line(error)})"
        raise InputError(_absent(name, root, why)) from error


def _reachable(builder: Any, downloads: Any) -> bool:
    """Returns whether the source of a dataset can be reached; TFDS itself retries for minutes.

    Uses the user's proxy if there is one. Does not check if the download already exists, or must
    be provided manually.
    """
    import requests

    urls = [url for url in builder.url_infos or () if url.startswith("http")]
    if not urls or builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return True
    for pattern in ("*.INFO", "*/*.INFO"):
        if any(
            url in note.read_text(encoding="utf-8", errors="replace")
            for note in downloads.glob(pattern)
            for url in urls
        ):
            return True
    try:
        requests.head(urls[0], timeout=_NETWORK_TIMEOUT)
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


def _absent(name: str, root: Any, why: str) -> str:
    return (
        f"--dataset={name} is not in {root}: {why}. Give the directory that holds it with "
        "--data_dir."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _read_from_disk(name: str, builder: Any, split: str) -> Split:
    """Decodes a split once into a file next to the dataset, and memory-maps it."""
    label = re.sub(r"\W+", "-", split).strip("-")
    path = pathlib.Path(builder.data_path) / f"decoded-{label}.npy"
    labels = path.with_name(f"decoded-{label}-labels.npy")
    shape = (builder.info.splits[split].num_examples, *builder.info.features["image"].shape)
    files = {path: shape, labels: shape[:1]}
    if not _are_there(files):
        try:
            with file_lock(path.with_name(f"{path.name}.lock"), f"Another process writes {path}"):
                if not _are_there(files):  # otherwise another process has written it meanwhile
                    _decode(name, builder, split, path, labels, shape)
        except OSError as error:
            raise InputError(
                f"--dataset={name}: its images are larger than the memory allows and cannot be "
                f"decoded to {path.parent} ({error.strerror}). Make it writable, or give "
                "--cache=memory or --train_examples."
            ) from error
    return Split(np.load(path, mmap_mode="r"), np.load(labels))


def _decode(
    name: str,
    builder: Any,
    split: str,
    path: pathlib.Path,
    labels: pathlib.Path,
    shape: tuple[int, ...],
) -> None:
    partial = path.with_name(f"{path.name}.partial")  # may be left from a killed process
    try:
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        read = _read(name, builder, split, images)
        images.flush()  # before renaming, so that the final file is complete
        buffer = io.BytesIO()
        np.save(buffer, read.labels)
        write_atomically(labels, buffer.getvalue())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _are_there(shapes: dict[pathlib.Path, tuple[int, ...]]) -> bool:
    try:
        return all(np.load(path, mmap_mode="r").shape == shape for path, shape in shapes.items())
    except (OSError, ValueError):  # missing or incomplete
        return False


def _read(name: str, builder: Any, split: str, images: np.ndarray | None = None) -> Split:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    count = builder.info.splits[split].num_examples
    if images is None:
        images = np.empty((count, *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(count, np.int32)
    # File order, so that "the first N" and every seed are the same on every machine.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    batches = (
        builder.as_dataset(split=split, shuffle_files=False, read_config=config)
        .map(lambda example: (example["image"], example["label"]), tf.data.AUTOTUNE)
        .batch(_BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    stop = 0
    try:
        for some_images, some_labels in batches.as_numpy_iterator():
            start, stop = stop, stop + len(some_labels)
            images[start:stop], labels[start:stop] = some_images, some_labels
    except tf.errors.OpError as error:  # damaged, or the wrong number of examples
        raise InputError(_damage(name, builder, split, error)) from error
    if count and labels.min() < 0:
        raise InputError(f"--dataset={name} has no labels in its split {split}.")
    return Split(images, labels)


def _damage(name: str, builder: Any, split: str, error: Exception) -> str:
    """Returns an error message with the damaged file, which TensorFlow does not name."""
    import tensorflow as tf

    info = builder.info.splits[split.partition("[")[0]]
    place = name
    for number, file in enumerate(info.filepaths):
        try:
            for _ in builder.as_dataset(split=f"{info.name}[{number}shard]"):
                pass
        except tf.errors.OpError as found:
            place, error = file, found
            break
    why = re.sub(r"^\{\{.*?\}\} *|\[Op:.*", "", _first_line(error)).strip()
    return (
        f"--dataset={name}: {place} cannot be read ({why}). Delete the dataset's folder and "
        "prepare it again."
    )
