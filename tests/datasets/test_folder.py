from __future__ import annotations

import shutil

import numpy as np
import one_convolution
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.config import options
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.tasks import runner


def _write(root, size=(6, 8), mode="L", classes=("cat", "dog"), parts=("train", "test")):
    generator = np.random.default_rng(0)
    for part in parts:
        for name in classes:
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for index in range(4):
                pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / name / f"{index}.png")


def _load(root, **settings):
    return datasets.load(f"folder:{root}", **{"validation_fraction": 0.25} | settings)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3)])
def test_images_keep_their_pixels_and_grey_ones_one_channel(tmp_path, mode, channels):
    _write(tmp_path, mode=mode)
    data = _load(tmp_path)
    assert data.input_shape == (8, 6, channels)
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(np.bincount(data.train.labels), [3, 3])
    np.testing.assert_array_equal(np.bincount(data.validation.labels), [1, 1])
    np.testing.assert_array_equal(data.test.labels, [0] * 4 + [1] * 4)
    first = Image.open(tmp_path / "test" / "cat" / "0.png").convert("L" if channels == 1 else "RGB")
    expected = np.asarray(first).reshape(8, 6, channels)
    np.testing.assert_array_equal(data.test.images[0], expected)


def test_images_know_their_files(tmp_path):
    _write(tmp_path)
    data = _load(tmp_path)
    assert data.test.files[:2] == ("test/cat/0.png", "test/cat/1.png")
    together = sorted([*data.train.files, *data.validation.files])
    assert together == [f"train/{name}/{n}.png" for name in ("cat", "dog") for n in range(4)]
    for file, image in zip(data.train.files, data.train.images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / file)), image[..., 0])


def test_odd_sizes_are_brought_to_the_commonest(tmp_path):
    _write(tmp_path)
    Image.new("L", (20, 20)).save(tmp_path / "train" / "cat" / "large.JPG")
    assert _load(tmp_path).input_shape == (8, 6, 1)


def test_a_few_training_examples_come_from_more_than_one_class(tmp_path):
    _write(tmp_path)
    data = _load(tmp_path, train_examples=6, validation_fraction=0.0)
    assert set(data.train.labels) == {0, 1}
    assert len(data.train.labels) == 6


def test_bad_files_are_named_at_once_a_few_of_many(tmp_path):
    _write(tmp_path)
    for part in ("train", "test"):
        (tmp_path / part / "dog" / "broken.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"\(2\): .*train.dog.broken\.png .*test.dog.broken\.png"):
        _load(tmp_path)
    for number in range(5):
        (tmp_path / "test" / "cat" / f"empty{number}.JPG").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\(7\): .*And 2 more\. .*`skip_bad_files`\.") as caught:
        _load(tmp_path)
    assert "\n" not in str(caught.value)


def test_bad_files_can_be_left_out_and_are_listed(tmp_path):
    _write(tmp_path)
    good = _load(tmp_path)
    for name in ("broken.png", "two\nlines.png"):
        (tmp_path / "train" / "dog" / name).write_bytes(b"not an image")
    data = _load(tmp_path, skip_bad_files=True)
    assert data.content == good.content
    assert [sentence.count(".png cannot be read") for sentence in data.skipped] == [1, 1]
    assert not any("\n" in sentence for sentence in data.skipped)


def test_a_run_lists_the_files_that_it_skips(tmp_path):
    _write(tmp_path)
    (tmp_path / "train" / "dog" / "broken.png").write_bytes(b"not an image")
    run_options = options.Options(
        dataset=f"folder:{tmp_path}",
        arch=one_convolution.ARCH,
        batch_size=2,
        skip_bad_files=True,
        workdir=str(tmp_path / "run"),
    )
    listed = runner.prepare(options.check(run_options)).task.files()["skipped_files.txt"].decode()
    assert "broken.png cannot be read" in listed
    assert listed.count("\n") == 1


def test_a_class_of_bad_files_alone_is_refused(tmp_path):
    _write(tmp_path)
    for file in (tmp_path / "test" / "dog").iterdir():
        file.write_bytes(b"not an image")
    with pytest.raises(ValueError, match="no image of dog in test can be read"):
        _load(tmp_path, skip_bad_files=True)


def test_what_is_not_read_is_counted_in_one_line(tmp_path, caplog):
    _write(tmp_path)
    for name in ("a/notes.txt", "b.txt", ".DS_Store", "c.heic"):
        file = tmp_path / "train" / "cat" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"not an image")
    (tmp_path / "train" / "labels.csv").write_bytes(b"")
    with caplog.at_level("WARNING"):
        _load(tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    for count in ("2 .txt", "1 .heic", "1 hidden or system", "1 outside of the folder of a class"):
        assert count in line


def test_a_class_without_images_says_what_it_holds(tmp_path):
    _write(tmp_path)
    (tmp_path / "train" / "fox").mkdir()
    (tmp_path / "train" / "fox" / "a.heic").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"fox holds no images, but files: 1 \.heic"):
        datasets.check(f"folder:{tmp_path}")


def test_more_than_eight_bits_are_refused_rather_than_clipped(tmp_path):
    _write(tmp_path)
    deep = Image.fromarray(np.full((8, 6), 40000, dtype=np.uint16))
    deep.save(tmp_path / "test" / "dog" / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png .*eight bits"):
        _load(tmp_path)


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    _write(tmp_path)
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "cat" / "._0.png").write_bytes(b"not an image")
    assert _load(tmp_path).class_names == ("cat", "dog")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name="):
        datasets.check(f"folder:{tmp_path / 'absent'}")


def test_one_class_is_refused(tmp_path):
    _write(tmp_path, classes=("cat",))
    with pytest.raises(ValueError, match=r"name=.*1 class"):
        datasets.check(f"folder:{tmp_path}")


def test_classes_that_differ_between_train_and_test_are_named(tmp_path):
    _write(tmp_path)
    _write(tmp_path, classes=("fox",), parts=("train",))
    with pytest.raises(ValueError, match="fox"):
        datasets.check(f"folder:{tmp_path}")


@pytest.mark.nightly
def test_a_run_whose_folder_has_changed_is_refused(tmp_path):
    _write(tmp_path / "images")
    run_options = options.Options(
        dataset=f"folder:{tmp_path / 'images'}",
        arch=one_convolution.ARCH,
        gens=0,
        epochs=1,
        batch_size=2,
        validation_fraction=0,
        progress="none",
        report=False,
        workdir=str(tmp_path / "run"),
    )
    runner.run(options.check(run_options))
    another = next((tmp_path / "images/train/cat").iterdir())
    shutil.copy(another, another.with_stem("another"))
    with pytest.raises(RunDirectoryError, match="examples was '8 to train with and 8 to test with"):
        runner.run(options.check(run_options))


@pytest.mark.parametrize("name", [None, 3, b"digits"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="`name` must be that of a dataset"):
        datasets.load(name)
