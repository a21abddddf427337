"""Images without labels: read from any folder, compared with the test data, and chosen."""

import numpy as np
import pytest
from PIL import Image

from ban_tf.datasets import Split, unlabelled
from ban_tf.errors import InputError


def _split(images):
    return Split(images, np.arange(len(images), dtype=np.int32))


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    for name in ("b.png", "inner/a.bmp", "inner/deep/without_suffix", "z.PNG"):
        pixels = draw.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name, format="png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_all_images_are_read_whatever_their_names_and_places(folder):
    found = unlabelled.load(f"folder:{folder}", (6, 5, 3), "crop")
    assert found.files == ("b.png", "inner/a.bmp", "inner/deep/without_suffix", "z.PNG")
    assert set(found.labels) == {-1}
    np.testing.assert_array_equal(found.images[0], np.asarray(Image.open(folder / "b.png")))
    assert unlabelled.load(f"folder:{folder}", (4, 8, 1), "crop").images.shape == (4, 4, 8, 1)


def test_what_cannot_be_read_is_refused_or_left_out(folder):
    (folder / "bad.png").write_bytes(b"bad")
    with pytest.raises(InputError, match=r"bad\.png.*--skip_bad_files"):
        unlabelled.load(f"folder:{folder}", (6, 5, 3), "crop")
    assert len(unlabelled.load(f"folder:{folder}", (6, 5, 3), "crop", True).labels) == 4
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="has no image"):
        unlabelled.load(f"folder:{folder / 'empty'}", (6, 5, 3), "crop")
    for name in (str(folder), "folder:nowhere", "digits"):
        with pytest.raises(InputError, match="--unlabelled must be folder:PATH"):
            unlabelled.check(name)


def test_images_of_the_test_data_are_left_out():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    kept = unlabelled.without(_split(images), _split(images[[1]]), _split(images[[4]]))
    np.testing.assert_array_equal(kept.labels, [0, 2, 3, 5])


def test_the_most_confident_images_of_each_class_are_chosen():
    certain = np.array([0.9, 0.6, 0.8, 0.95, 0.7, 0.99])
    predicted = np.array([0, 0, 0, 1, 1, 0])
    probabilities = np.where(np.arange(2) == predicted[:, None], certain[:, None], 0.0)
    probabilities += (1 - probabilities.sum(-1, keepdims=True)) * (probabilities == 0)
    every = unlabelled.choose(probabilities, 0.0, None)
    np.testing.assert_array_equal(every.chosen, np.arange(6))
    assert every.kept.tolist() == [4, 2]
    some = unlabelled.choose(probabilities, 0.75, 2)
    np.testing.assert_array_equal(some.chosen, [0, 3, 5])
    assert (some.kept.tolist(), some.dropped.tolist()) == ([2, 1], [2, 1])
    assert not len(unlabelled.choose(probabilities, 1.0, None).chosen)


def test_they_follow_the_training_data_in_memory_and_on_disk(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images[:5])
    more = Split(images[5:], np.full(4, -1, np.int32))
    disk = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(5, dtype=np.int32))
    memory, joined = (unlabelled.join(split, more) for split in (_split(images[:5]), disk))
    assert joined.is_read_by_rows and not memory.is_read_by_rows
    for found in (memory, joined):
        np.testing.assert_array_equal(found.labels, [0, 1, 2, 3, 4, -1, -1, -1, -1])
        np.testing.assert_array_equal(found.images[np.array([7, 0, 4])], images[[7, 0, 4]])
        np.testing.assert_array_equal(np.asarray(found.images[::2]), images[::2])
