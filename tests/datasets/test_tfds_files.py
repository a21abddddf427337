"""Prepared files of TFDS, read without it: as TFDS reads them."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath

from ban_tf.datasets import image_data, tfds_files
from ban_tf.datasets import tfds as by_tfds
from ban_tf.datasets.decoding import Target
from ban_tf.errors import InputError


class TinyPatterns(tfds.core.GeneratorBasedBuilder):
    """Noise of two classes, in two splits."""

    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.10.0")

    def _info(self):
        image = tfds.features.Image(shape=(6, 5, 3))
        label = tfds.features.ClassLabel(names=["round", "square"])
        features = tfds.features.FeaturesDict(
            {"id": tfds.features.Text(), "image": image, "label": label, "size": np.float32}
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(20), "test": self._generate_examples(7)}

    def _generate_examples(self, count):
        for index in range(count):
            image = np.random.default_rng(index).integers(0, 256, (6, 5, 3), dtype=np.uint8)
            yield index, {"id": "a", "image": image, "label": index % 2, "size": 0.5}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    TinyPatterns(data_dir=str(directory)).download_and_prepare()
    shutil.copytree(directory / "tiny_patterns/1.10.0", directory / "tiny_patterns/1.9.0")
    return directory


def _source(data_dir, target=None, name="tiny_patterns"):
    builder, keys, classes = tfds_files.open_prepared(name, str(data_dir))
    return tfds_files.FileSource(name, builder, keys, target, classes)


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_images_and_labels_are_those_that_tfds_reads(size, data_dir):
    how = image_data.Reading(size, "crop", None, "memory", False, 0.2, False)
    expected = by_tfds.load("tiny_patterns", str(data_dir), 12, how)
    source = _source(data_dir, size and Target(size, "crop", 3))
    assert source.class_names == expected.class_names == ("round", "square")
    assert source.builder.data_path.name == "1.10.0"
    for split, part, count in (("train", expected.train, 12), ("test", expected.test, 7)):
        found, left_out = source.read(split, count, on_disk=False)
        assert not left_out
        np.testing.assert_array_equal(found.images, part.images)
        np.testing.assert_array_equal(found.labels, part.labels)


def test_a_version_may_be_named_and_what_is_not_there_is_refused(data_dir):
    found = _source(data_dir, name="tiny_patterns:1.9.0")
    assert found.builder.data_path.name == "1.9.0"
    for name in ("tiny_patterns:2.0.0", "other"):
        with pytest.raises(InputError, match=f"--dataset={name} is not in .*--data_dir"):
            _source(data_dir, name=name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-9], "ends within an example"),
        (lambda content: content[:200] + b"\xff" * 300 + content[500:], "cannot be read"),
        (lambda content: b"", "has 0 of 20 examples"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(damage, message, data_dir, tmp_path):
    shutil.copytree(data_dir / "tiny_patterns/1.10.0", tmp_path / "tiny_patterns/1.10.0")
    (file,) = (tmp_path / "tiny_patterns/1.10.0").glob("*-train.tfrecord-*")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=message):
        _source(tmp_path).read("train", 20, on_disk=False)


def test_a_dataset_of_something_else_is_refused(data_dir, tmp_path):
    shutil.copytree(data_dir / "tiny_patterns/1.10.0", tmp_path / "tiny_patterns/1.10.0")
    features = tmp_path / "tiny_patterns/1.10.0/features.json"
    features.write_text(features.read_text().replace("classLabel", "scalar"))
    with pytest.raises(InputError, match="not an image-classification dataset"):
        _source(tmp_path)
