from __future__ import annotations

import logging
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from ban_tf import datasets
from ban_tf.datasets import pipeline, tfds_reading

_CLASSES = tfds.features.ClassLabel(names=["round", "square"])


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Six-pixel images whose labels are known."""

    # TFDS would look for the package of this class, and a test module has none.
    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar = {"image": tfds.features.Image(shape=(6, 6, 3)), "label": _CLASSES}
    SPLITS: ClassVar = {"train": 20, "test": 10}

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(count) for name, count in self.SPLITS.items()}

    def _generate_examples(self, count):
        for index in range(count):
            image = np.full((6, 6, 3), 10 * index, dtype=np.uint8)
            yield index, {"image": image, "label": index % 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("tfds"))
    TinyShapes(data_dir=directory).download_and_prepare()
    return directory


def test_a_prepared_data_set_is_read_whole(data_dir):
    data = datasets.load("tiny_shapes", data_dir=data_dir, validation_fraction=0.2)
    assert data.input_shape == (6, 6, 3)
    assert data.class_names == ("round", "square")
    assert data.augment
    values = np.concatenate([data.train.images, data.validation.images])[:, 0, 0, 0]
    labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(np.sort(values), 10 * np.arange(20))
    np.testing.assert_array_equal(labels, values // 10 % 2)
    np.testing.assert_array_equal(np.bincount(data.validation.labels), [2, 2])
    assert len(data.test.labels) == 10


def test_the_first_training_examples_are_the_first_of_the_file(data_dir):
    options = {"data_dir": data_dir, "validation_fraction": 0.0}
    few = datasets.load("tiny_shapes", train_examples=8, **options)
    every = datasets.load("tiny_shapes", **options)
    np.testing.assert_array_equal(few.train.images, every.train.images[:8])


@pytest.mark.parametrize("count", [0, 21])
def test_training_examples_that_are_not_there_are_refused(data_dir, count):
    with pytest.raises(ValueError, match=f"train_examples={count} "):
        datasets.load("tiny_shapes", data_dir=data_dir, train_examples=count)


def test_images_larger_than_memory_are_read_from_disk_and_are_the_same(data_dir, monkeypatch):
    options = {"data_dir": data_dir, "validation_fraction": 0.2, "train_examples": 18}
    memory = datasets.load("tiny_shapes", cache="memory", **options)
    monkeypatch.setattr(datasets.disk_cache.hardware, "memory", lambda: 1000)
    disk = datasets.load("tiny_shapes", cache="auto", **options)
    again = datasets.load("tiny_shapes", cache="disk", **options)  # finds the decoded file
    assert disk.train.is_read_by_rows and disk.validation.is_read_by_rows
    assert not memory.train.is_read_by_rows
    np.testing.assert_array_equal(disk.mean, memory.mean)
    np.testing.assert_array_equal(disk.std, memory.std)
    arguments = {"batch_size": 4, "epochs": 2, "seed": 3, "augment": True}
    for data in (disk, again):
        ours, theirs = (
            pipeline.training_batches(array, **arguments).as_numpy_iterator()
            for array in (data, memory)
        )
        for (images, labels), (expected, expected_labels) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(labels, expected_labels)
        for part in ("validation", "test"):
            ours, theirs = (
                next(iter(pipeline.evaluation_batches(getattr(array, part), array, 50)))
                for array in (data, memory)
            )
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.nightly
def test_what_a_killed_process_left_of_decoded_images_is_continued(data_dir, monkeypatch):
    for left in pathlib.Path(data_dir).rglob("decoded-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    script = (
        "import os, signal, sys\n"
        "from ban_tf import datasets\n"
        "from ban_tf.datasets import disk_cache, tfds_reading\n"
        "tfds_reading._BATCH = 8\n"
        "write = disk_cache.write_atomically\n"
        "def killed(path, rows):\n"
        "    write(path, rows)\n"
        "    if rows == b'16': os.kill(os.getpid(), signal.SIGKILL)\n"
        "disk_cache.write_atomically = killed\n"
        "datasets.load('tiny_shapes', data_dir=sys.argv[1], cache='disk')\n"
    )
    command = [sys.executable, "-c", script, data_dir]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(pathlib.Path(data_dir).rglob("*.partial"))) == 1
    examples, parts = tfds_reading._examples, []
    monkeypatch.setattr(
        tfds_reading, "_examples", lambda *given: parts.append(given[1]) or examples(*given)
    )
    disk, memory = (
        datasets.load("tiny_shapes", data_dir=data_dir, cache=cache) for cache in ("disk", "memory")
    )
    assert parts == ["train[16:20]", "test", "train", "test"]
    assert disk.content == memory.content
    assert not list(pathlib.Path(data_dir).rglob("*.partial"))


def test_a_data_set_that_cannot_be_decoded_to_disk_says_what_to_do(data_dir, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(ValueError, match=r"No space left.*cache=memory"):
        datasets.load("tiny_shapes", data_dir=data_dir, train_examples=6, cache="disk")


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def _empty(file):
    file.write_bytes(b"")


def _flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _spoil_an_image(file):
    examples = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(file)) as writer:
        for example in examples:
            writer.write(example.replace(b"PNG", b"GNP"))


def _repeat_it(file):
    file.write_bytes(2 * file.read_bytes())


@pytest.mark.parametrize(
    "damage", [_truncate, _empty, _flip_a_bit, _spoil_an_image, _repeat_it, pathlib.Path.unlink]
)
def test_a_damaged_file_is_named(tmp_path, damage):
    TinyShapes(data_dir=tmp_path).download_and_prepare()
    (file,) = tmp_path.glob("tiny_shapes/1.0.0/*test*")
    damage(file)
    with pytest.raises(ValueError, match=f"^name=tiny_shapes: {re.escape(str(file))} "):
        datasets.load("tiny_shapes", data_dir=str(tmp_path))


def test_loading_leaves_the_log_as_it_was(data_dir):
    before = logging.getLogger("absl").level
    datasets.load("tiny_shapes", data_dir=data_dir)
    assert logging.getLogger("absl").level == before


@pytest.mark.nightly
def test_what_tfds_logs_is_kept_off_the_screen(data_dir, tmp_path):
    arguments = ["--dataset=tiny_shapes", f"--data_dir={data_dir}", "--batch_size=5000"]
    done = subprocess.run(
        [sys.executable, "-m", "ban_tf.main", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"ban-tf: --batch_size=5000 is more than .*\n", done.stderr)


def test_a_known_data_set_without_its_data_names_the_directory(tmp_path, monkeypatch):
    # A proxy where nobody listens: no network, on any machine.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=rf"name=cifar100 .*{tmp_path}: .*`data_dir`"):
        datasets.load("cifar100", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ({"text": tfds.features.Text()}, "has text"),
        ({"image": tfds.features.Image(), "label": tfds.features.Scalar(np.int64)}, "class label"),
        ({"image": tfds.features.Image(), "label": _CLASSES}, "different sizes"),
        (
            {"image": tfds.features.Image(shape=(4, 4, 1), dtype=np.uint16), "label": _CLASSES},
            "uint16",
        ),
    ],
)
def test_features_that_cannot_be_learnt_from_are_refused_before_any_download(
    tmp_path, monkeypatch, features, complaint
):
    monkeypatch.setattr(TinyShapes, "FEATURES", features)
    with pytest.raises(ValueError, match=rf"name=tiny_shapes .*{complaint}"):
        datasets.load("tiny_shapes", data_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("splits", "counts"),
    [
        ({"train": 20, "validation": 6, "test": 4}, (20, 6, 4)),
        ({"train": 20, "validation": 6}, (18, 2, 6)),
        ({"train": 20}, (14, 2, 4)),
    ],
)
def test_the_parts_are_those_that_there_are(tmp_path, monkeypatch, splits, counts):
    monkeypatch.setattr(TinyShapes, "SPLITS", splits)
    TinyShapes(data_dir=tmp_path).download_and_prepare()
    data = datasets.load("tiny_shapes", data_dir=str(tmp_path))
    assert tuple(len(part.labels) for part in (data.train, data.validation, data.test)) == counts
    few = datasets.load("tiny_shapes", data_dir=str(tmp_path), train_examples=9)
    assert len(few.train.labels) + (counts[1] != 6) * len(few.validation.labels) == 9


def test_a_missing_training_split_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(TinyShapes, "SPLITS", {"test": 20, "extra": 10})
    with pytest.raises(ValueError, match="split train; it has test, extra"):
        datasets.load("tiny_shapes", data_dir=str(tmp_path))


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Pictures of different sizes with other keys, whose labels are text."""

    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"picture": tfds.features.Image(), "kind": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("picture", "kind"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12)}

    def _generate_examples(self, count):
        for index in range(count):
            picture = np.full((6 + index, 20 - index, 3), 20 * index, dtype=np.uint8)
            yield index, {"picture": picture, "kind": f"kind {9 + index % 2}"}


def test_pictures_of_different_sizes_are_brought_to_one(tmp_path):
    TinyPictures(data_dir=tmp_path).download_and_prepare()
    name, options = "tiny_pictures", {"data_dir": str(tmp_path), "validation_fraction": 0.2}
    with pytest.raises(ValueError, match=r"different sizes; .*image_size=224"):
        datasets.load(name, **options)
    memory, disk, again = (
        datasets.load(name, image_size=(8, 10), cache=cache, test_fraction=0.4, **options)
        for cache in ("memory", "disk", "disk")
    )
    assert memory.class_names == ("kind 9", "kind 10")
    assert memory.input_shape == (8, 10, 3) and len(memory.test.labels) == 4
    np.testing.assert_array_equal(memory.test.images[:, 0, 0, 0] // 20 % 2, memory.test.labels)
    assert disk.train.is_read_by_rows and not memory.train.is_read_by_rows
    assert memory.content == disk.content == again.content


def test_images_of_one_size_may_be_brought_to_another(data_dir):
    small = datasets.load("tiny_shapes", data_dir=data_dir, image_size=(4, 5))
    assert small.input_shape == (4, 5, 3)
    values = np.concatenate([small.train.images, small.validation.images])[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(values), 10 * np.arange(20))
    gray = datasets.load("tiny_shapes", data_dir=data_dir, image_size=(6, 6), channels=1)
    assert gray.input_shape == (6, 6, 1)


def _spoil_examples(file, *numbers):
    examples = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(file)) as writer:
        for number, example in enumerate(examples):
            writer.write(example.replace(b"PNG", b"GNP") if number in numbers else example)


def test_bad_images_are_left_out_and_listed(tmp_path):
    TinyShapes(data_dir=tmp_path).download_and_prepare()
    (train,) = tmp_path.glob("tiny_shapes/1.0.0/*train*")
    (test,) = tmp_path.glob("tiny_shapes/1.0.0/*test*")
    options = {"data_dir": str(tmp_path), "validation_fraction": 0.0}
    whole = datasets.load("tiny_shapes", **options).train.images[:, 0, 0, 0]
    _spoil_examples(train, 2, 5)
    with pytest.raises(ValueError, match=r"split train cannot .* example 2\). .*`skip_bad_files`"):
        datasets.load("tiny_shapes", image_size=(4, 4), **options)
    options["skip_bad_files"] = True
    for more in ({}, {"image_size": (4, 4), "cache": "disk"}):
        data = datasets.load("tiny_shapes", **options, **more)
        assert data.input_shape == (*more.get("image_size", (6, 6)), 3)
        values = data.train.images[:][:, 0, 0, 0]
        np.testing.assert_array_equal(values, np.delete(whole, [2, 5]))
        np.testing.assert_array_equal(data.train.labels, values // 10 % 2)
        assert len(data.test.labels) == 10
        assert [sentence.split()[1] for sentence in data.skipped] == ["2", "5"]
    few = datasets.load("tiny_shapes", train_examples=4, **options)
    np.testing.assert_array_equal(few.train.images[:, 0, 0, 0], whole[[0, 1, 3, 4]])
    _spoil_examples(test, *range(10))
    with pytest.raises(ValueError, match=r"split test cannot be decoded \(10, "):
        datasets.load("tiny_shapes", **options)


@pytest.mark.parametrize("name", ["cifar10/absent", "cifar10:9.9.9", "cifar 10", "a/b/c"])
def test_a_malformed_name_is_answered_with_one_line(tmp_path, name):
    with pytest.raises(ValueError, match=f"^name={name} ") as caught:
        datasets.load(name, data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_close_ones(tmp_path):
    with pytest.raises(ValueError, match=r"name=cifar11 .*cifar10"):
        datasets.load("cifar11", data_dir=str(tmp_path))


class TinyLabels(TinyShapes):
    """Images with none, one or two labels."""

    FEATURES: ClassVar = {
        "image": tfds.features.Image(shape=(6, 6, 3)),
        "objects": tfds.features.Sequence(_CLASSES),
    }

    def _generate_examples(self, count):
        for index in range(count):
            image = np.full((6, 6, 3), 10 * index, dtype=np.uint8)
            yield index, {"image": image, "objects": [[], [0], [1], [1, 0]][index % 4]}


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_a_sequence_of_labels_becomes_zeros_and_ones(tmp_path, size):
    TinyLabels(data_dir=tmp_path).download_and_prepare()
    wanted = {"data_dir": str(tmp_path), "validation_fraction": 0.0, "image_size": size}
    data = datasets.load("multilabel:tfds:tiny_labels", **wanted)
    assert data.multi_label and data.class_names == ("round", "square")
    assert data.input_shape == (*(size or (6, 6)), 3) and data.train.labels.dtype == np.int32
    for part, count in ((data.train, 20), (data.test, 10)):
        kinds = np.asarray(part.images)[:, 0, 0, 0] // 10 % 4
        np.testing.assert_array_equal(part.labels, np.stack([kinds % 2, kinds // 2], -1))
        assert len(part.labels) == count
    with pytest.raises(ValueError, match="multilabel:tfds:tiny_labels reads its objects"):
        datasets.load("tiny_labels", **wanted)
    with pytest.raises(ValueError, match="one image and one sequence of class labels"):
        TinyShapes(data_dir=tmp_path).download_and_prepare()
        datasets.load("multilabel:tfds:tiny_shapes", **wanted)
