"""Parts, classes and their order; and what to type if a path does not name a folder of images."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.errors import InputError
from ban_tf.system import flag_names


def _write(root, *folders, count=2):
    """Writes different images of size 4 x 4."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            # Of process-independent content: the folder and the number.
            pixels = np.random.default_rng([number, *folder.encode()]).integers(0, 256, (4, 4))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(root / folder / f"{number}.png")


def _load(root, **settings):
    return datasets.load(f"folder:{root}", **settings)


def _message(path):
    with pytest.raises(InputError) as caught:
        datasets.check(f"folder:{path}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_a_validation_folder_is_used_in_place_of_training_images(tmp_path, validation):
    _write(tmp_path, "TRAIN/a", "TRAIN/b", "Test/a", "Test/b", f"{validation}/b")
    data = _load(tmp_path, validation_fraction=0.5)
    np.testing.assert_array_equal(data.train.labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(data.validation.labels, [1, 1])
    np.testing.assert_array_equal(data.test.labels, [0, 0, 1, 1])
    first = Image.open(tmp_path / validation / "b" / "0.png")
    np.testing.assert_array_equal(data.validation.images[0, :, :, 0], np.asarray(first))
    before = data.content
    Image.new("L", (4, 4)).save(tmp_path / validation / "b" / "0.png")
    assert _load(tmp_path).content != before


def test_a_folder_of_classes_is_split_in_the_same_way_for_all_seeds(tmp_path):
    _write(tmp_path, "a", count=10)
    _write(tmp_path, "b", count=5)
    data = _load(tmp_path, validation_fraction=0, test_fraction=0.3)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [3, 2])
    np.testing.assert_array_equal(np.bincount(data.train.labels), [7, 3])
    every = np.concatenate([data.train.images, data.test.images])
    assert len(np.unique(every, axis=0)) == 15
    again = _load(tmp_path, seed=1, validation_fraction=0, test_fraction=0.3)
    assert again.content == data.content
    assert _load(tmp_path).content != data.content


def test_every_class_of_a_split_folder_is_tested(tmp_path):
    _write(tmp_path, "a", "b")
    data = _load(tmp_path, test_fraction=0.01)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [1, 1])
    _write(tmp_path, "c", count=1)
    with pytest.raises(InputError, match=r"class c has 1 image\(s\); at least two"):
        _load(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    _write(tmp_path, "bus", "car", "train")
    assert _load(tmp_path).class_names == ("bus", "car", "train")


def test_classes_are_in_natural_order(tmp_path):
    names = ("1", "2", "10", "B2", "B10", "a")
    _write(tmp_path, *names)
    assert _load(tmp_path).class_names == names


def test_composed_and_decomposed_names_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "\u00e4") for form in ("NFC", "NFD"))
    _write(tmp_path, f"train/{decomposed}", "train/o", f"test/{composed}", "test/o")
    _write(tmp_path, f"train/{composed}", count=3)
    data = _load(tmp_path, validation_fraction=0)
    assert data.class_names == ("o", composed)
    assert len(data.train.labels) in (5, 7)  # file systems may hold one of both names alone


def test_other_folders_and_files_beside_the_parts_are_counted(tmp_path, caplog):
    _write(tmp_path, "train/a", "train/b", "test/a", "test/b", "more/a")
    (tmp_path / "labels.csv").write_text("")
    with caplog.at_level("WARNING"):
        _load(tmp_path)
    assert "2 beside train and test" in caplog.text


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b", "val/a", "val/b"], "has train and val, but no test. Rename val to"),
        (["train/a", "train/b"], "has train, but no test. Add the folder test, or type name="),
        (["test/a", "test/b"], "has test, but no train. Name the folder of the training images"),
        (["val/a", "val/b"], "has val, but no train and no test. Name the folders train and test"),
        (["train/a", "train/b", "test/a", "test/b", "val/c"], "that are not in train: c."),
        (["train/a", "test/a", "val/a", "valid/a"], "holds both val and valid"),
    ],
)
def test_missing_parts_are_named(tmp_path, folders, message):
    _write(tmp_path, *folders)
    assert message in _message(tmp_path)


@pytest.mark.parametrize(
    ("folders", "given", "right"),
    [
        (["photos/train/a", "photos/train/b", "photos/test/a", "photos/test/b"], "", "photos"),
        (["x/train/a", "x/test/a", "y/train/a", "y/test/a"], "", "x"),
        (["photos/a", "photos/b"], "", "photos"),
        (["photos/train/a", "photos/test/a"], "photos/train", "photos"),
        (["photos/train/a", "photos/test/a", "photos/Val/a"], "photos/Val", "photos"),
        (["photos/train/a", "photos/test/a"], "photos/train/a", "photos"),
        (["photos/a", "photos/b"], "photos/a", "photos"),
        (["photos/a", "photos/b"], "photo/a", "photos/a"),
    ],
)
def test_a_path_at_the_wrong_level_is_corrected(tmp_path, folders, given, right):
    root = tmp_path / "my images"
    _write(root, *folders)
    assert f"'name=folder:{root / right}'" in _message(root / given)
    with flag_names.kept():  # as it can be pasted into a shell
        assert f"'--dataset=folder:{root / right}'" in _message(root / given)


def test_classes_one_level_too_deep_in_train_are_to_be_moved(tmp_path):
    _write(tmp_path, "train/images/a", "train/images/b", "test/images/a", "test/images/b")
    assert f"images holds the folders a, b. Move them to {tmp_path / 'train'}" in _message(tmp_path)


def test_what_is_no_folder_of_images_says_what_is_there(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"")
    assert "is a file; give the folder" in _message(tmp_path / "photos.zip")
    (tmp_path / "empty").mkdir()
    assert "it holds no folders; images are expected in" in _message(tmp_path / "empty")
    _write(tmp_path / "alone", "only")
    message = _message(tmp_path / "alone" / "only")
    assert "it holds images, but no folders of classes; images are expected in" in message
    assert "holds the folders alone, empty, and no absent" in _message(
        tmp_path / "absent" / "inner"
    )
    assert "type name=folder:PATH" in _message("")


def test_a_forgotten_prefix_is_named(tmp_path, monkeypatch):
    _write(tmp_path, "photos/a", "photos/b")
    monkeypatch.chdir(tmp_path)
    for name in ("./photos", "photos/", str(tmp_path / "photos")):
        with pytest.raises(InputError, match=f"is a folder: type name=folder:{name} if"):
            datasets.check(name)
    with pytest.raises(InputError, match=r"name=\./absent is a path"):
        datasets.check("./absent")
    with pytest.raises(InputError, match="photos is a folder: type name=folder:photos if"):
        datasets.load("photos")
