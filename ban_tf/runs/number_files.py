"""What runs keep that predict numbers: those of the test set, true and predicted."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ban_tf.errors import CorruptFileError
from ban_tf.runs.reading import TEST_FILES
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import archives

TARGETS = "test_targets.npz"
IMAGES = "test_images.npz"


class Pictures(NamedTuple):
    """Test images that reports show.

    Attributes:
        shown: The indices of their examples, integers `[kept]`.
        images: The images or thumbnails of them, uint8 `[kept, height, width, channels]`.
    """

    shown: np.ndarray
    images: np.ndarray

    def to_files(self) -> dict[str, bytes]:
        """Returns the file of a run that keeps them, by name."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, shown=self.shown, images=self.images)
        return {IMAGES: buffer.getvalue()}


def read_pictures(run: RunDirectory) -> Pictures | None:
    """Reads the stored test images; None if there are none, as in runs on tables.

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    if IMAGES not in run.names():
        return None
    name = run.path / IMAGES
    stored = archives.arrays(run.read(IMAGES), name, ("shown", "images"))
    shown, images = stored["shown"], stored["images"]
    kinds = shown.dtype.kind in "iu" and images.dtype == np.uint8
    if not kinds or (shown.ndim, images.ndim) != (1, 4) or len(shown) != len(images):
        raise CorruptFileError(f"{name} does not hold images of test examples.")
    return Pictures(shown, images)


def number_files(targets: np.ndarray, names: Sequence[str] | None = None) -> dict[str, bytes]:
    """Returns the files of a run that keep the true numbers of a test set, by name.

    Args:
        targets: The numbers, `[examples]`.
        names: The name of each example; None if they have none.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, targets=targets)
    found = {TARGETS: buffer.getvalue()}
    if names is not None:
        found[TEST_FILES] = json.dumps({"files": list(names)}, indent=1).encode()
    return found


def read_targets(run: RunDirectory) -> np.ndarray:
    """Reads the true numbers of the test set, float64 `[examples]`.

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    return _numbers(run, TARGETS, "targets")


def of_generation(number: int) -> str:
    """Returns the name of the file with the numbers that a generation predicts."""
    return f"generation-{number}/predictions.npz"


def read_numbers(run: RunDirectory, name: str) -> np.ndarray:
    """Reads the predicted numbers in a file, float64 `[examples]`.

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    return _numbers(run, name, "00000")


def _numbers(run: RunDirectory, name: str, key: str) -> np.ndarray:
    found = archives.arrays(run.read(name), run.path / name, (key,))[key]
    if found.dtype.kind != "f" or found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise CorruptFileError(f"{run.path / name} does not hold one finite number per example.")
    return found.astype(np.float64)
