"""Image files: which files of a folder are images, and how one is read.

Every format that Pillow decodes without another program is read, with any suffix of the file;
of several frames the first. The orientation in camera metadata is applied, and transparency is
composited on white. Training and prediction read images with the same function. Images of more
than eight bits per channel are refused.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ban_tf.datasets.resizing import BACKGROUND
from ban_tf.errors import InputError
from ban_tf.system import safe_files

if TYPE_CHECKING:
    from PIL import Image

HIDDEN = "hidden or system"
# Pillow recognizes these formats, but decodes them only with another program.
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Left by archives, file servers and file managers, in any case.
_SYSTEM = frozenset(
    {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"}
)
_ORIENTATION = 0x0112  # the EXIF tag
# How many times as large as needed a JPEG is decoded at least. From 12 megapixels to 224 pixels
# this takes a quarter of the time; pixels differ by about one of 255 in the mean.
_SPARE = 3
_TURNS_SIDES = (5, 6, 7, 8)  # orientations in which height and width are swapped


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is hidden, or left by the system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def has_suffix(file: pathlib.Path) -> bool:
    """Returns whether a name that is not hidden has the suffix of an image format."""
    return file.suffix.lower() in _suffixes() and not is_hidden(file.name)


def find(folder: pathlib.Path, passed_over: collections.Counter[str]) -> list[pathlib.Path]:
    """Returns the image files in a folder and in the folders in it, sorted.

    A file is an image if its suffix is that of an image format, so that a damaged one is found
    when it is read, or if its content is an image.

    Args:
        folder: The folder.
        passed_over: To which the numbers of other files are added by reason: `HIDDEN`, or their
            suffix.
    """
    files, folders, seen = [], [folder], set()
    while folders:
        inner = folders.pop()
        real = inner.resolve()
        if real in seen:  # by a symbolic link
            continue
        seen.add(real)
        for entry in sorted(inner.iterdir()):
            if is_hidden(entry.name):
                passed_over[HIDDEN] += 1
            elif entry.is_dir():
                folders.append(entry)
            elif _is_image(entry):
                files.append(entry)
            else:
                passed_over[entry.suffix.lower() or "without suffix"] += 1
    return sorted(files)


class Header(NamedTuple):
    """What the header of a file describes.

    Attributes:
        size: Height and width of the upright image.
        channels: 1 if it is gray, otherwise 3.
    """

    size: tuple[int, int]
    channels: int


def read_header(file: str | pathlib.Path) -> Header:
    """Reads the header of an image file, without decoding the image.

    Raises:
        InputError: It does not exist, is not an image, or has more than eight bits per channel.
    """
    from PIL import Image

    with opened(file, file) as image:
        width, height = image.size
        # `getexif` of the class of a format may decode the image. Pillow turns TIFF itself.
        orientation = _orientation(Image.Image.getexif, image)
        if orientation in _TURNS_SIDES and image.format != "TIFF":
            width, height = height, width
        return Header((height, width), 1 if _mode(image) == "L" else 3)


def open_image(file: str | pathlib.Path, wanted: tuple[int, int] | None = None) -> Image.Image:
    """Reads an image file with Pillow: upright, without transparency.

    Args:
        file: The file.
        wanted: The height and width that the image will be brought to: a much larger JPEG is
            decoded at a half, a quarter or an eighth of its size, at least `_SPARE` times this one.

    Returns:
        The image, in mode L if its mode is gray, otherwise RGB.

    Raises:
        InputError: It does not exist, is not an image, or has more than eight bits per channel.
    """
    return decode(file, file, wanted)


def decode(
    source: str | pathlib.Path | IO[bytes],
    name: str | pathlib.Path,
    wanted: tuple[int, int] | None = None,
) -> Image.Image:
    """Returns the image in a file or stream; as `open_image`, with a name for messages."""
    with opened(source, name) as image:
        if wanted is not None:
            side = _SPARE * max(wanted)  # of both, as the image may be turned
            image.draft(None, (side, side))  # does nothing but for JPEG
        image.load()
        return _on_background(_upright(image))


@contextlib.contextmanager
def opened(
    source: str | pathlib.Path | IO[bytes], name: str | pathlib.Path
) -> Iterator[Image.Image]:
    """Opens an image whose channels have eight bits.

    Args:
        source: A file or stream.
        name: Its name, for messages.

    Raises:
        InputError: It does not exist, is not an image, or has more than eight bits per channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with contextlib.ExitStack() as stack:
            if isinstance(source, (str, pathlib.Path)):
                source = stack.enter_context(_opened(source))
            image = stack.enter_context(Image.open(source, formats=_formats()))
            if image.mode.startswith(("I", "F")):  # Pillow would clip these to white
                raise InputError(
                    f"{name} has more than eight bits per channel (mode {image.mode}); save it "
                    "with eight."
                )
            yield image
    except (MemoryError, InputError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist.") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} cannot be read as an image (it is in no format that Pillow decodes)."
        ) from error
    except Exception as error:  # decoders raise errors of many types for damaged files
        raise InputError(f"{name} cannot be read as an image ({error}).") from error


def _opened(file: str | pathlib.Path) -> IO[bytes]:
    return open(file, "rb", opener=safe_files.regular)  # which waits for no pipe


@functools.cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_DECODED)


@functools.cache
def _suffixes() -> frozenset[str]:
    from PIL import Image

    formats = _formats()
    found = {suffix for suffix, name in Image.registered_extensions().items() if name in formats}
    return frozenset(found)


def _is_image(file: pathlib.Path) -> bool:
    from PIL import Image

    if not file.is_file() and not file.is_symlink():  # a pipe would block its reader
        return False
    if has_suffix(file):
        return True
    try:
        with _opened(file) as stream, Image.open(stream, formats=_formats()):
            return True
    except Exception:  # decoders raise errors of many types
        return False


def _orientation(getexif: Callable[[Image.Image], Any], image: Image.Image) -> int | None:
    """Returns the orientation of the camera; without metadata or with damaged ones, None."""
    try:
        return getexif(image).get(_ORIENTATION)
    except Exception:  # its parser raises errors of many types
        return None


def _upright(image: Image.Image) -> Image.Image:
    """Applies the orientation of the camera."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    orientation = _orientation(type(image).getexif, image)
    return image.transpose(turns[orientation]) if orientation in turns else image


def _on_background(image: Image.Image) -> Image.Image:
    """Returns an image in mode L or RGB, with transparency composited on `BACKGROUND`."""
    from PIL import Image

    mode = _mode(image)
    if image.mode.lower().endswith("a") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _mode(image: Image.Image) -> str:
    return "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
