"""`--teacher_from` on images with a file of another runtime, which is recorded for the run."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.architectures import adapted, pixels
from ban_tf.config.options import Options
from ban_tf.datasets import recorded_views
from ban_tf.distillation import example_keys, function_outputs, recorder, runtimes, teacher_names
from ban_tf.errors import InputError
from ban_tf.tasks import given_recording, number_scores

_CHECKED = 1000  # training images, of larger data


class OtherRuntime:
    """A teacher of another runtime, for the training images of a run.

    Args:
        path: Its file or folder; see `runtimes.load`.
        options: The options of the run.
        data: Its data, normalized by the statistics of the training images.
        augment: Its augmentation, one of `policies.POLICIES`.
        views: How many views of the images there are.
        target: The number that the run predicts; None for classes.

    Attributes:
        targets: The class of the data of each class of the teacher; None if they are the same.

    Raises:
        InputError: It cannot be read, takes no such images, has other classes, or is no better
            than chance.
    """

    def __init__(
        self,
        path: str,
        options: Options,
        data: datasets.ImageData,
        augment: str,
        views: int,
        target: number_scores.Target | None,
    ):
        self._path, self._options, self._data = path, options, data
        self._views = recorded_views.views(data, augment, options.view_seed, views)
        self._augment, self._target = augment, target
        self._form = pixels.RAW if options.teacher_input == "auto" else options.teacher_input
        outputs = None if target is None else function_outputs.VALUES
        self._ask = function_outputs.Checked(
            of_raw_images(path, data, self._form), "teacher", outputs
        )
        train, name = data.train, f"--teacher_from={path}"
        some = np.arange(0, len(train.labels), max(1, len(train.labels) // _CHECKED))
        found = self._ask(np.asarray(train.images[some], np.float32))
        self.targets = None
        if target is None:
            file, classes = options.teacher_classes, found.shape[-1]
            self.targets = given_recording.targets_of(None, classes, data, file, name)
            labels = np.asarray(train.labels)[some]
            given_recording.check_better_than_chance(name, found, labels, self.targets, data)

    def _hash(self) -> str:
        """Returns a hash of all that the recording depends on."""
        found = hashlib.sha256(example_keys.of_examples(self._data.train.images).tobytes())
        found.update(np.asarray([self._data.mean, self._data.std], np.float32).tobytes())
        views = {name: self._views[name] for name in ("views", "augmentation")}
        settings = self._form, self._options.teacher_top, self._data.input_shape, views
        found.update(repr((_hash_of(pathlib.Path(self._path)), *settings)).encode())
        return found.hexdigest()[:16]

    def describe(self) -> str:
        """Returns what identifies it, for the settings of a run."""
        mapped = "" if self.targets is None else f" with its classes mapped to {self.targets}"
        return f"{teacher_names.RECORDED}{self._hash()}{mapped}"

    def record(self) -> given_recording.GivenRecording:
        """Returns the recording, which is written if it is not yet.

        Raises:
            InputError: The outputs are not finite, or the disk is too small.
        """
        options, name = self._options, self._hash()
        path = recorder.record(
            self._ask,
            path=options.recordings_directory / f"given-{name}",
            outputs=self._ask.outputs,
            top=options.teacher_top,
            identity=name,
            verbose=options.progress != "none",
            **self._views,
        )
        return given_recording.GivenRecording(
            *(str(path), self._data, self._augment, options.view_seed, options.teacher_classes),
            target=self._target,
        )


def of_raw_images(path: str, data: datasets.ImageData, form: str) -> runtimes.Function:
    """Returns what a teacher of another runtime does to raw images at the size of a run.

    Args:
        path: Its file or folder; see `runtimes.load`.
        data: The data of the run, normalized by the statistics of the training images.
        form: The pixels that the teacher takes, one of `pixels.TEACHER_FORMS`.

    Raises:
        InputError: It cannot be read, or takes no such images.
    """
    function = runtimes.load(path)
    assert function is not None  # by its name
    size, channels_first = _layout(getattr(function, "input_shape", None), path, data.input_shape)
    normalized = (np.broadcast_to(part, (size[-1],)).tolist() for part in (data.mean, data.std))
    own = pixels.described(form, *normalized)
    prepare = adapted.preparing(size, own, pixels.known(pixels.RAW), data.input_shape)

    def outputs(images: Any) -> np.ndarray:
        if prepare is not None:
            images = keras.ops.convert_to_numpy(prepare(images))
        return function(np.moveaxis(images, -1, 1) if channels_first else images)

    return outputs


def _layout(
    shape: tuple[int | None, ...] | None, path: str, ours: tuple[int, ...]
) -> tuple[tuple[Any, ...], bool]:
    """Returns height, width and channels that a file takes, and whether channels come first."""
    if shape is None:  # of TorchScript, where they do
        return ours, True
    known = (1, 3, ours[-1])
    first = len(shape) == 3 and shape[0] in known and shape[-1] not in known
    size = (*shape[1:], shape[0]) if first else shape
    if len(size) != 3 or size[-1] is None or ours[-1] not in (1, size[-1]):
        raise InputError(
            f"--teacher_from={path} takes inputs of shape {shape}, which cannot be made of images "
            f"of shape {ours}; record its outputs for them with ban_tf.record, and give "
            "--teacher_from=recording:PATH."
        )
    return size, first


def _hash_of(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, or of all files in a folder with their names."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()
