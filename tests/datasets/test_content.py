"""Data is known by its content: a change that keeps every count is noticed when a run resumes."""

import dataclasses
import json
import tracemalloc

import numpy as np
import one_convolution
import pytest

from ban_tf import datasets
from ban_tf.config import options
from ban_tf.datasets import content, text
from ban_tf.datasets.image_data import Rows, Split
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import runner


def _split(examples=30, seed=0, **changes):
    generator = np.random.default_rng(seed)
    arrays = {
        "images": generator.integers(0, 256, (examples, 4, 4, 3), np.uint8),
        "labels": generator.integers(0, 2, examples).astype(np.int32),
    }
    return Split(**{**arrays, **changes})


def _changed(array, place):
    array = array.copy()
    array[place] ^= 1
    return array


NAMES = ("cat", "dog")
TRAIN, TEST = _split(), _split(10, seed=1)


@pytest.mark.parametrize(
    "changed",
    [
        (_split(images=_changed(TRAIN.images, (29, 3, 3, 2))), TEST, NAMES),
        (_split(labels=_changed(TRAIN.labels, 7)), TEST, NAMES),
        (TRAIN.select(np.r_[1, 0, 2:30]), TEST, NAMES),
        (TRAIN, _split(10, seed=1, images=_changed(TEST.images, (0, 0, 0, 0))), NAMES),
        (TRAIN, TEST, ("cat", "fox")),
        (TRAIN, TEST, ("dog", "cat")),
    ],
    ids=["pixel", "label", "order", "test pixel", "class", "order of classes"],
)
def test_any_change_of_images_changes_the_hash(changed):
    assert content.of_images(TRAIN, TEST, NAMES) == content.of_images(_split(), TEST, NAMES)
    assert content.of_images(*changed) != content.of_images(TRAIN, TEST, NAMES)


def test_images_on_disk_have_the_hash_of_those_in_memory(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", TRAIN.images)
    mapped = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), TRAIN.labels)
    rows = Split(Rows(mapped.images, np.arange(30)), TRAIN.labels)
    for limit in (content._WHOLE, 100):  # below that, samples
        monkeypatch.setattr(content, "_WHOLE", limit)
        wanted = content.of_images(TRAIN, TEST, NAMES)
        assert content.of_images(mapped, TEST, NAMES) == wanted
        assert content.of_images(rows, TEST, NAMES) == wanted


def test_large_data_is_sampled_and_all_its_labels_count(monkeypatch):
    monkeypatch.setattr(content, "_WHOLE", 100)
    monkeypatch.setattr(content, "_SAMPLED", 9)  # every fourth
    wanted = content.of_images(TRAIN, TEST, NAMES)
    for place, noticed in ((28, True), (29, False)):
        images = _changed(TRAIN.images, (place, 0, 0, 0))
        assert (content.of_images(_split(images=images), TEST, NAMES) != wanted) == noticed
    labels = _split(labels=_changed(TRAIN.labels, 29))
    assert content.of_images(labels, TEST, NAMES) != wanted


def test_hashing_takes_no_second_copy(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((20_000, 32, 32, 1), np.uint8))
    split = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), np.zeros(20_000, np.int32))
    tracemalloc.start()
    content.of_images(split, split, NAMES)
    assert tracemalloc.get_traced_memory()[1] < 20_000 * 32 * 32 / 4
    tracemalloc.stop()


def test_the_hash_does_not_depend_on_what_is_held_out():
    cuts = [(0, 0.1), (1, 0.1), (0, 0.3), (0, 0.0)]
    found = {
        datasets.load("digits", seed=seed, validation_fraction=share).content
        for seed, share in cuts
    }
    assert len(found) == 1
    assert datasets.load("digits", train_examples=100).content not in found


def _text(folder, line):
    folder.mkdir(exist_ok=True)
    for part, lines in (("train", 60), ("valid", 6), ("test", 6)):
        (folder / f"my.{part}.txt").write_text(f"{line}\n" * lines)


@pytest.mark.parametrize("line", ["a b d c a b", "a b c x a b"], ids=["order", "word"])
def test_any_change_of_a_text_changes_the_hash(tmp_path, line):
    found = []
    for written in ("a b c d a b", line, "a b c d a b"):
        _text(tmp_path, written)
        data = text.load(f"text:{tmp_path}")
        found.append(content.of_tokens(data.vocabulary, (data.train, data.validation, data.test)))
    assert found[0] == found[2] != found[1]


def _text_run(folder):
    run_options = options.Options(
        dataset=f"text:{folder / 'words'}",
        arch="lstm-1-4",
        gens=0,
        epochs=1,
        batch_size=4,
        unroll=5,
        progress="none",
        report=False,
        workdir=str(folder / "run"),
    )
    return runner.run(options.check(run_options))


@pytest.mark.nightly
def test_a_run_on_another_text_of_equal_counts_is_refused(tmp_path):
    _text(tmp_path / "words", "a b c d a b")
    _text_run(tmp_path)
    _text_run(tmp_path)  # the same text resumes
    _text(tmp_path / "words", "a b d c a b")
    with pytest.raises(RunDirectoryError, match=r"data was .* and is now .content"):
        _text_run(tmp_path)


@dataclasses.dataclass
class Drawing:
    """A folder of tiny images, and a run on it."""

    folder: object

    def write(self, value):
        from PIL import Image

        for part in ("train", "test"):
            for label, name in enumerate(("dark", "light")):
                place = self.folder / "images" / part / name
                place.mkdir(parents=True, exist_ok=True)
                for number in range(4):
                    pixels = np.full((8, 8), 100 * label + number + value, np.uint8)
                    Image.fromarray(pixels).save(place / f"{number}.png")

    def run(self):
        run_options = options.Options(
            dataset=f"folder:{self.folder / 'images'}",
            arch=one_convolution.ARCH,
            gens=0,
            epochs=1,
            batch_size=2,
            progress="none",
            report=False,
            workdir=str(self.folder / "run"),
        )
        runner.run(options.check(run_options))

    @property
    def settings(self):
        return json.loads((self.folder / "run" / "manifest.json").read_text())["facts"]["settings"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A finished run, whose images a test may write again."""
    drawing = Drawing(tmp_path_factory.mktemp("drawing"))
    drawing.write(0)
    drawing.run()
    return drawing


@pytest.fixture
def drawing(drawn):
    drawn.write(0)
    return drawn


def test_a_run_whose_images_have_other_pixels_is_refused(drawing):
    drawing.write(1)
    with pytest.raises(RunDirectoryError, match="data was 'content of hash"):
        drawing.run()


def test_a_run_from_before_learns_what_its_data_is(drawing):
    known = drawing.settings
    with RunDirectory(drawing.folder / "run") as directory:
        older = {name: value for name, value in known.items() if name != "data"}
        directory.commit(metadata={"settings": older})
    assert "data" not in drawing.settings
    drawing.run()
    assert drawing.settings == known
    drawing.write(1)
    with pytest.raises(RunDirectoryError, match="data was 'content of hash"):
        drawing.run()
