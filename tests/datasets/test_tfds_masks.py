"""TFDS datasets of images and masks, prepared here, and those that are none."""

from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath

from ban_tf.config import needs, options
from ban_tf.datasets import segmentation
from ban_tf.errors import InputError

_RNG = np.random.default_rng(0)
MASKS = _RNG.choice(np.array([0, 1, 2, 255], np.uint8), (14, 6, 8, 1))
IMAGES = _RNG.integers(0, 256, (14, 6, 8, 3), dtype=np.uint8)


class TinyMasks(tfds.core.GeneratorBasedBuilder):
    """Random images and masks that are known."""

    pkg_dir_path = epath.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "file_name": tfds.features.Text(),
        "segmentation_mask": tfds.features.LabeledImage(
            labels=["ground", "cat", "dog"], shape=(None, None, 1)
        ),
    }

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._examples(range(10)), "test": self._examples(range(10, 14))}

    def _generate_examples(self, rows):
        raise NotImplementedError

    def _examples(self, rows):
        for row in rows:
            named = {"image": IMAGES[row], "file_name": str(row)}
            yield row, {**named, "segmentation_mask": MASKS[row]}


class PlainImages(TinyMasks):
    """Images without masks."""

    FEATURES: ClassVar = {"image": tfds.features.Image(shape=(None, None, 3))}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("tfds"))
    TinyMasks(data_dir=directory).download_and_prepare()
    return directory


def test_a_prepared_data_set_is_read_whole(data_dir):
    data = segmentation.load(
        "segmentation:tfds:tiny_masks",
        data_dir=data_dir,
        image_size=(6, 8),
        validation_fraction=0.2,
    )
    assert data.class_names == ("ground", "cat", "dog")
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [8, 2, 4]
    pairs = {(image.tobytes(), mask.tobytes()) for image, mask in zip(IMAGES, MASKS, strict=True)}
    for split in (data.train, data.validation, data.test):
        for image, mask in zip(split.images, split.labels, strict=True):
            assert (image.tobytes(), mask.tobytes()) in pairs


def test_what_does_not_fit_is_named(data_dir):
    given = {"data_dir": data_dir, "image_size": (6, 8)}
    with pytest.raises(InputError, match=r"The mask of train example \d has pixels of 255"):
        segmentation.load("segmentation:tfds:tiny_masks", void_label=None, **given)
    with pytest.raises(InputError, match="the run has a, b"):
        segmentation.load("segmentation:tfds:tiny_masks", class_names="ab", **given)
    with pytest.raises(
        InputError, match="--dataset=segmentation:tfds:tiny_masks has images of dif"
    ):
        segmentation.load("segmentation:tfds:tiny_masks", data_dir=data_dir)
    with pytest.raises(
        InputError, match="--dataset=segmentation:tfds:plain_images must have the f"
    ):
        segmentation.load("segmentation:tfds:plain_images", **given)
    with pytest.raises(InputError, match="--dataset=segmentation:tfds:tiny_mask is unknown; did"):
        segmentation.load("segmentation:tfds:tiny_mask", **given)


def test_flags_for_tfds_and_for_files_are_for_it():
    chosen = options.Options(dataset="segmentation:tfds:tiny_masks")
    assert all(need.met(chosen) for need in (needs.TFDS, needs.MASK_FILES, needs.SPLIT))
    drawn = options.Options(dataset="segmentation")
    assert not any(need.met(drawn) for need in (needs.TFDS, needs.MASK_FILES, needs.SPLIT))
