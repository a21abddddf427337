"""Identical images are reported in one line."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.datasets import duplicates


def _known(digest, label=0):
    return duplicates.Known(pathlib.Path(f"{digest}-{label}"), label, digest.encode())


def test_without_identical_images_nothing_is_logged():
    parts = {"train": [_known("a"), _known("a"), _known("b", 1)], "test": [_known("c")]}
    assert duplicates.describe(parts) == ""


def test_each_pair_of_parts_is_counted():
    parts = {
        "train": [_known("a"), _known("b", 1), _known("c")],
        "validation": [_known("c"), _known("d")],
        "test": [_known("a"), _known("a"), _known("d")],
    }
    assert duplicates.describe(parts) == (
        "2 of test in train (such as a-0 and a-0), 1 of test in validation (such as d-0 and d-0), "
        "1 of validation in train (such as c-0 and c-0)"
    )


def test_an_image_in_two_classes_is_named_with_both():
    parts = {"train": [_known("a"), _known("a", 1), _known("a", 2)], "test": [_known("b")]}
    assert duplicates.describe(parts) == "1 with more than one label (such as a-0 and a-1)"


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_the_same_pixels_in_another_format_are_identical(tmp_path, caplog, suffix):
    for value, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (5, 4), value).save(tmp_path / folder / "x.png")
    with caplog.at_level("WARNING"):
        datasets.load(f"folder:{tmp_path}")
    assert "identical" not in caplog.text
    Image.new("L", (5, 4), 0).save(tmp_path / "test" / "b" / f"copy.{suffix}")
    Image.new("L", (4, 5), 1).save(tmp_path / "test" / "b" / "turned.png")  # not the same image
    with caplog.at_level("WARNING"):
        data = datasets.load(f"folder:{tmp_path}")
    (line,) = [
        record.getMessage() for record in caplog.records if "identical" in record.getMessage()
    ]
    assert "identical images: 1 of test in train (such as" in line
    assert "1 with more than one label (such as" in line
    np.testing.assert_array_equal(data.test.labels, [0, 1, 1, 1])
