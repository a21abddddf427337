"""Tests that `ban_tf.datasets.load` and `views` refuse wrong arguments before reading anything."""

import pytest

from ban_tf import datasets
from ban_tf.datasets import segmentation
from ban_tf.errors import InputError


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("segmentation:shapes", {}, "name=segmentation:shapes has no images with classes"),
        ("table:cars.csv", {}, "name=table:cars.csv has no images with classes"),
        ("digits", {"data_dir": 3}, "`data_dir` must be a path"),
        ("digits", {"validation_fraction": 0.9}, "`validation_fraction` .* from 0 to 0.5"),
        ("digits", {"test_fraction": "a fifth"}, "`test_fraction` must be a number from 0 to 0.9"),
        ("digits", {"train_examples": 9.5}, "`train_examples` must be an integer"),
        ("digits", {"seed": "x"}, "`seed` must be an integer of at least 0"),
        ("digits", {"image_size": (0, 8)}, "`image_size` must be a number of pixels, or a pair"),
        ("digits", {"image_size": "8x8"}, "`image_size` must be a number of pixels, or a pair"),
        ("digits", {"image_size": (8, 8, 1)}, "`image_size` must be a number of pixels, or a pair"),
        ("digits", {"resize": "fold"}, "`resize` must be 'crop', 'pad' or 'stretch'"),
        ("digits", {"channels": 2}, "`channels` must be 1, 3 or None"),
        ("digits", {"channels": True}, "`channels` must be 1, 3 or None"),
        ("digits", {"cache": "tape"}, "`cache` must be 'auto', 'memory' or 'disk'"),
        ("digits", {"skip_bad_files": "yes"}, "`skip_bad_files` must be True or False"),
        ("digits:odd", {}, "name=digits:odd is unknown; give digits alone"),
        ("csv", {}, "name=csv names no data; give csv:PATH"),
        ("multilabel:tfds:", {}, "name=multilabel:tfds: names no data; give multilabel:tfds:NAME"),
        (f"folder:{'a' * 5000}", {}, "name=folder:a"),
        ("digits", {"target": 3}, "`target` must be the name of a column. Received: 3"),
        ("digits", {"target": ""}, "`target` must be the name of a column. Received: ''"),
        ("digits", {"target": "age"}, "target=age is for numbers, of which name=digits has none"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, message):
    with pytest.raises(InputError, match=message):
        datasets.load(name, **arguments)


def test_a_target_of_a_table_of_classes_is_refused(tmp_path):
    for heading in ("label", "labels"):
        table = tmp_path / "birds.csv"
        table.write_text(f"path,{heading}\na.png,wren\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"target=age is for numbers, and .* has labels"):
            datasets.load(f"csv:{table}", target="age")


def test_one_number_is_height_and_width():
    assert datasets.load("digits", image_size=12).input_shape == (12, 12, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits", "crop"), "`data` must be what `ban_tf.datasets.load` returns"),
        ((None, "rotate"), "`augment` must be one of none, crop"),
        ((None, "crop", -1), "`seed` must be an integer of at least 0"),
        ((None, "crop", 0, 0), "`count` must be an integer of at least 1"),
    ],
)
def test_wrong_arguments_of_views_are_refused(arguments, message):
    """Also those of images that are too small, before the first view is asked for."""
    data = arguments[0] or datasets.load("digits")
    with pytest.raises(InputError, match=message):
        datasets.views(data, *arguments[1:])
    with pytest.raises(InputError, match=r"augment=crop needs images of more than 4 pixels"):
        datasets.views(datasets.load("digits", image_size=3), "crop")


def test_drawn_shapes_are_refused_where_a_run_has_other_classes():
    with pytest.raises(InputError, match=r"has the classes background, disk, .* the run has a, b"):
        segmentation.load("segmentation:shapes", class_names=["a", "b"])
