"""Files as people have them: formats, suffixes, orientation, transparency, junk."""

from __future__ import annotations

import collections
import os

import numpy as np
import pytest
from PIL import Image, features

from ban_tf.datasets import decoding, image_files, resizing, text
from ban_tf.errors import InputError
from ban_tf.tasks import image_reading

_EXACT = [("a.png", "PNG"), ("a.BMP", "BMP"), ("a.tiff", "TIFF"), ("a.TIF", "TIFF"), ("a", "PNG")]
_EXACT += [("a.jpg", "PNG"), ("a.photo", "BMP"), ("a.ppm", "PPM"), ("a.tga", "TGA")]
_LOSSY = [("a.jfif", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.avif", "AVIF")]
_ORIENTATION = 0x0112


def _pixels(height=16, width=24):
    """A smooth picture without any symmetry."""
    rows, columns = np.mgrid[:height, :width]
    parts = (rows * 255 / height, columns * 255 / width, (rows + columns) * 100 / height)
    return np.stack(parts, axis=-1).astype(np.uint8)


def _find(folder):
    passed_over = collections.Counter()
    return image_files.find(folder, passed_over), passed_over


@pytest.mark.parametrize(("name", "kind"), _EXACT + _LOSSY)
def test_whatever_pillow_opens_is_read(tmp_path, name, kind):
    if kind in ("AVIF", "WEBP") and not features.check(kind.lower()):
        pytest.skip("this Pillow is built without it")
    Image.fromarray(_pixels()).save(tmp_path / name, format=kind)
    assert _find(tmp_path) == ([tmp_path / name], {})
    found = image_files.open_image(tmp_path / name)
    assert found.mode == "RGB"
    assert image_files.read_header(tmp_path / name) == (_pixels().shape[:2], 3)
    difference = np.abs(np.asarray(found).astype(int) - _pixels())
    assert difference.mean() <= (8 if (name, kind) in _LOSSY else 0)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path):
    rows, columns = np.mgrid[:480, :640] / 40
    waves = np.stack([np.sin(rows * k) * np.cos(columns) for k in (1, 2, 3)], axis=-1)
    Image.fromarray((127 + 120 * waves).astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    whole, part = (image_files.open_image(tmp_path / "a.jpg", size) for size in (None, (30, 40)))
    assert (whole.size, part.size) == ((640, 480), (160, 120))
    large = image_files.open_image(tmp_path / "a.jpg", (100, 110))  # less than twice three times
    assert large.size == (640, 480)
    exact = resizing.to_array(whole, (30, 40), "crop", 3).astype(int)
    predicted = image_reading.read_image(tmp_path / "a.jpg", (30, 40, 3), "crop")
    assert np.abs(exact - predicted).mean() < 1.5
    target = decoding.Target((30, 40), "crop", 3)
    files = [tmp_path / "a.jpg"]
    trained = decoding.read_files("x", tmp_path, ["a.jpg"], files, target, on_disk=False)
    np.testing.assert_array_equal(trained.images[0], predicted)


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(
        np.asarray(image_files.open_image(tmp_path / "a.gif").convert("L")), 10
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_the_orientation_of_the_camera_is_applied(tmp_path, orientation, name):
    upright = _pixels()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif)
    np.testing.assert_array_equal(np.asarray(image_files.open_image(tmp_path / name)), upright)
    if name != "a.tiff":  # which earlier versions of Pillow turn when they decode it
        assert image_files.read_header(tmp_path / name).size == upright.shape[:2]
    predicted = image_reading.read_image(tmp_path / name, upright.shape)
    np.testing.assert_array_equal(predicted, upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_metadata_leave_an_image_as_it_is_stored(tmp_path):
    Image.fromarray(_pixels()).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    np.testing.assert_array_equal(np.asarray(image_files.open_image(tmp_path / "a.png")), _pixels())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composited_on_white(tmp_path, mode):
    image = Image.fromarray(np.full((2, 3, 4), [40, 40, 40, 255], np.uint8))
    image.putpixel((0, 0), (40, 40, 40, 0))
    image.convert(mode).save(tmp_path / "a.png")
    found = image_files.open_image(tmp_path / "a.png")
    assert found.mode == ("L" if mode == "LA" else "RGB")
    expected = np.full((2, 3), 40)
    expected[0, 0] = 255
    np.testing.assert_array_equal(np.asarray(found.convert("L")), expected)


def test_a_transparent_color_of_a_png_is_white(tmp_path):
    Image.fromarray(np.full((2, 2), 9, np.uint8)).save(tmp_path / "a.png", transparency=9)
    found = image_files.open_image(tmp_path / "a.png")
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), 255)


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 51)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(image_files.open_image(tmp_path / "a.png")), 204)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "1", "P"])
def test_other_modes_are_converted(tmp_path, mode):
    Image.fromarray(_pixels()).convert(mode).save(tmp_path / "a.tiff")
    try:
        Image.open(tmp_path / "a.tiff").load()
    except OSError:
        pytest.skip(f"This Pillow cannot read the TIFF of mode {mode} that it wrote.")
    assert image_files.open_image(tmp_path / "a.tiff").mode == ("L" if mode == "1" else "RGB")


def test_junk_is_passed_over_and_other_files_are_counted(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    Image.fromarray(_pixels()).save(tmp_path / "deep" / "er" / "b.png")
    Image.fromarray(_pixels()).save(tmp_path / "a.png")
    for name in ("__MACOSX", "@eaDir", ".cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    for name in (".DS_Store", "Thumbs.db", "._a.png", "Desktop.INI", "x.TXT", "y.heic", "README"):
        (tmp_path / "deep" / name).write_bytes(b"no image")
    found, passed_over = _find(tmp_path)
    assert found == [tmp_path / "a.png", tmp_path / "deep" / "er" / "b.png"]
    assert passed_over == {"hidden or system": 7, ".txt": 1, ".heic": 1, "without suffix": 1}


def test_links_in_a_circle_end(tmp_path):
    Image.fromarray(_pixels()).save(tmp_path / "a.png")
    try:
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert _find(tmp_path)[0] == [tmp_path / "a.png"]


@pytest.mark.parametrize("content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_damaged_image_is_named(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert _find(tmp_path)[0] == [tmp_path / "a.jpg"]
    with pytest.raises(InputError, match=r"a\.jpg cannot be read .*no format"):
        image_files.open_image(tmp_path / "a.jpg")


def test_half_an_image_is_named(tmp_path):
    Image.fromarray(_pixels(90, 90)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.jpg cannot be read as an image \("):
        image_files.open_image(tmp_path / "a.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.png", "a"):
        (tmp_path / name).symlink_to(tmp_path / "pipe")
    assert _find(tmp_path)[0] == [tmp_path / "a.png"]
    for name in ("a.png", "pipe"):
        with pytest.raises(InputError, match="not a regular file"):
            image_files.open_image(tmp_path / name)
    with pytest.raises(InputError, match="not a regular file"):
        text.read_lines(tmp_path / "pipe")
