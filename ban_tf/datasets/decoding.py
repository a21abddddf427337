"""Decodes images into an array: each thread holds one image, and drops it at its final size."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ban_tf.datasets import disk_cache, image_files, resizing
from ban_tf.errors import InputError
from ban_tf.system import bars, hardware, shown

_THREADS = 8  # at most: a photograph of 12 megapixels needs 100 MB in each
_AT_A_TIME = 256
_FEW = 300  # images for which no progress is shown
DIGEST = 20  # bytes
_FORMAT = b"2"  # of caches; changes when images are decoded to other pixels


class Target(NamedTuple):
    """What images are decoded to.

    Attributes:
        size: Height and width.
        method: See `resizing.fit`.
        channels: 1 or 3.
    """

    size: tuple[int, int]
    method: str
    channels: int

    def forms(self, count: int) -> dict[str, disk_cache.Form]:
        """Returns the forms of a number of images and of their digests."""
        return {
            "images": disk_cache.Form((count, *self.size, self.channels), np.uint8),
            "digests": disk_cache.Form((count, DIGEST), np.uint8),
        }

    def __str__(self) -> str:
        return f"{self.size[0]}x{self.size[1]}-{self.method}-{self.channels}"


class Decoded(NamedTuple):
    """Decoded images.

    Attributes:
        images: uint8 `[images, height, width, channels]`, in memory or memory-mapped.
        digests: Hashes of the decoded pixels and of the original size, uint8 `[images, DIGEST]`.
        bad: Why some could not be decoded, by row; their pixels are 0.
    """

    images: np.ndarray
    digests: np.ndarray
    bad: dict[int, str]


def read_headers(files: Sequence[pathlib.Path], size_known: bool) -> list[image_files.Header]:
    """Reads headers; those that cannot be read are left out.

    Args:
        files: The files.
        size_known: Whether the channels are all that is needed, so that reading may end with the
            first image in color.
    """

    def read(file: pathlib.Path) -> image_files.Header | None:
        try:
            return image_files.read_header(file)
        except InputError:
            return None

    found: list[image_files.Header] = []
    with threads() as pool:
        for start in range(0, len(files), _AT_A_TIME):
            headers = pool.map(read, files[start : start + _AT_A_TIME])
            found += [header for header in headers if header is not None]
            if size_known and any(header.channels > 1 for header in found):
                break
    return found


def read_files(
    dataset: str,
    root: pathlib.Path,
    names: Sequence[str],
    files: Sequence[pathlib.Path],
    target: Target,
    on_disk: bool,
    show_progress: bool = False,
) -> Decoded:
    """Decodes image files.

    Args:
        dataset: The value of `--dataset`, for messages.
        root: The folder that holds the cache.
        names: Of the files, relative to `root`.
        files: The files.
        target: What they are decoded to.
        on_disk: Whether they are decoded to the cache instead of memory.
        show_progress: Whether to show the progress with many files.

    Raises:
        InputError: The cache cannot be written.
    """

    def fill(arrays: Mapping[str, np.ndarray], first: int) -> Iterator[int]:
        show = show_progress and len(files) > _FEW
        with threads() as pool, bars.bar("reading images", len(files), show) as advance:
            advance(first)
            for start in range(first, len(files), _AT_A_TIME):
                some = files[start : start + _AT_A_TIME]
                decode_rows(pool, [(file, str(file)) for file in some], target, arrays, start)
                advance(len(some))
                yield start + len(some)

    forms = target.forms(len(files))
    if on_disk:
        folder = root / disk_cache.NAME / f"{target}-{_identity(names, files)}"
        arrays = disk_cache.on_disk(folder, forms, fill, dataset)
    else:
        arrays = disk_cache.in_memory(forms, fill)
    missing = np.flatnonzero(~arrays["digests"].any(axis=1))
    bad = {row: _why(files[row]) for row in missing.tolist()}
    return Decoded(arrays["images"], arrays["digests"], bad)


def decode_rows(
    pool: concurrent.futures.Executor,
    sources: Sequence[tuple[pathlib.Path | bytes, str]],
    target: Target,
    arrays: Mapping[str, np.ndarray],
    first: int,
) -> None:
    """Decodes images into rows of arrays.

    Args:
        pool: Threads, each of which decodes an image.
        sources: Files, or their contents, and their names.
        target: What they are decoded to.
        arrays: Those of `Target.forms`. A digest is 0 where an image cannot be decoded.
        first: The row of the first image.
    """

    def decode(row: int, source: pathlib.Path | bytes, name: str) -> None:
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        try:
            image = image_files.decode(opened, name, target.size)
        except InputError:
            arrays["images"][row], arrays["digests"][row] = 0, 0
            return
        arrays["images"][row] = pixels = resizing.to_array(image, *target)
        digest = hashlib.sha1(repr(image.size).encode(), usedforsecurity=False)
        digest.update(pixels.data)
        arrays["digests"][row] = np.frombuffer(digest.digest(), np.uint8)

    rows = range(first, first + len(sources))
    for _ in pool.map(decode, rows, *zip(*sources, strict=True)):
        pass


def threads() -> concurrent.futures.ThreadPoolExecutor:
    """Returns threads that decode images."""
    return concurrent.futures.ThreadPoolExecutor(min(_THREADS, hardware.usable_cores()))


def _identity(names: Sequence[str], files: Sequence[pathlib.Path]) -> str:
    """Returns a hash of the names, sizes and times of files."""
    digest = hashlib.sha1(_FORMAT, usedforsecurity=False)
    for name, file in zip(names, files, strict=True):
        try:
            status = file.stat()
            known = (status.st_size, status.st_mtime_ns)
        except OSError:
            known = (-1, 0)
        digest.update(repr((name, *known)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _why(file: pathlib.Path) -> str:
    try:
        image_files.open_image(file)
    except InputError as error:
        return shown.escaped(error)
    return shown.escaped(f"{file} could not be read at first; repeat the command.")
