"""Tables of images with several labels, their splits, and pairs of digits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ban_tf import datasets
from ban_tf.config import options
from ban_tf.datasets import label_splits, names, pipeline

_LABELS = ["cat|dog", "dog", "", "bird; cat", "dog;bird|cat", "cat"]


def _table(root, heading, cells):
    """Writes a table of images, each of its own gray; returns its path."""
    for index in range(len(cells)):
        Image.new("L", (6, 6), index).save(root / f"{index}.png")
    lines = [heading, *(f"{index}.png,{cell}" for index, cell in enumerate(cells))]
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root / "table.csv"


def _by_image(data):
    """Returns the labels of all images in the order of the table."""
    parts = (data.train, data.validation, data.test)
    images = np.concatenate([part.images[:, 0, 0, 0] for part in parts])
    return np.concatenate([part.labels for part in parts])[np.argsort(images)]


def test_labels_in_one_cell_and_labels_in_columns_are_the_same(tmp_path):
    cells = _LABELS * 4
    named = datasets.load(f"csv:{_table(tmp_path, 'path,labels', cells)}")
    assert named.class_names == ("bird", "cat", "dog") and named.multi_label
    wanted = np.array([[name in cell for name in named.class_names] for cell in cells], np.int32)
    np.testing.assert_array_equal(_by_image(named), wanted)
    marked = [",".join(map(str, row)) for row in wanted]
    columns = datasets.load(
        f"multilabel:{_table(tmp_path, 'Path,bird,cat,dog', marked)}", validation_fraction=0.2
    )
    assert columns.class_names == named.class_names
    np.testing.assert_array_equal(_by_image(columns), wanted)
    for part in (columns.train, columns.validation, columns.test):
        assert part.labels.dtype == np.int32 and part.labels.any(axis=0).all()
    assert columns.labels_of(columns.train, 0) == ", ".join(
        name
        for name, holds in zip(named.class_names, columns.train.labels[0], strict=True)
        if holds
    )


def test_a_split_of_the_table_is_kept(tmp_path):
    cells = [f"{cell},{part}" for part in ("train", "val", "test") for cell in _LABELS]
    name = f"csv:{_table(tmp_path, 'path,labels,split', cells)}"
    data = datasets.load(name)
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [6, 6, 6]
    assert names.has_validation(name) and not names.may_be_split(name)
    assert options.check(options.Options(dataset=name)).dataset == name


@pytest.mark.parametrize(
    ("heading", "cells", "complaint"),
    [
        ("path,cat,dog", ["1,0", "0,2"], "has 2 in the column dog for 1.png"),
        ("path,cat,dog", ["1,0", "1,"], "has an empty dog in line 3"),
        ("path,cat,dog", ["1,0", "1,0"], "labels without a training image: dog"),
        ("path,cat", ["1", "0"], "has 1 label"),
        ("path,cat,label", ["1,a", "0,b"], "it has path, cat, label"),
        ("path,cat,Cat", ["1,0", "0,1"], "with different names"),
        ("path,labels", ["a", "a|b"], "label b has 1 image"),
        ("path,labels,split", ["a|b,train", "c,test"], "has classes in its split test that"),
    ],
)
def test_other_tables_are_refused(tmp_path, heading, cells, complaint):
    with pytest.raises(ValueError, match=complaint):
        datasets.load(f"multilabel:{_table(tmp_path, heading, cells)}")


def test_every_label_has_its_share_of_a_part():
    rng = np.random.default_rng(0)
    labels = (rng.random((2000, 8)) < np.geomspace(0.005, 0.5, 8)).astype(np.int32)
    held_out = label_splits.choose(labels, 0.2, 3, at_least=1)
    np.testing.assert_allclose(held_out.mean(), 0.2, atol=0.01)
    counts = labels.sum(axis=0)
    np.testing.assert_allclose(labels[held_out].sum(axis=0), 0.2 * counts, atol=2)
    np.testing.assert_array_equal(held_out, label_splits.choose(labels, 0.2, 3, at_least=1))
    assert (held_out != label_splits.choose(labels, 0.2, 4)).any()
    assert not label_splits.choose(labels, 0.0, 0).any()
    rare = np.eye(4, dtype=np.int32)[[0, 0, 1, 1, 2, 2, 3, 3]]  # two images of each
    assert (rare[label_splits.choose(rare, 0.1, 0, at_least=1)].sum(axis=0) == 1).all()


def test_pairs_of_digits_are_labelled_with_both():
    data = datasets.load("multilabel:digits")
    single = datasets.load("digits")
    assert data.input_shape == (8, 16, 1) and data.num_classes == 10
    assert set(data.train.labels.sum(axis=1)) == {1, 2}
    by_image = {
        image.tobytes(): label
        for part in (single.train, single.validation)
        for image, label in zip(part.images, part.labels, strict=True)
    }
    for image, labels in zip(data.train.images[:50], data.train.labels, strict=False):
        both = {
            by_image[np.ascontiguousarray(half).tobytes()] for half in np.split(image, 2, axis=1)
        }
        assert both == set(np.flatnonzero(labels))
    large = datasets.load("multilabel:digits", image_size=(16, 32))
    assert large.input_shape == (16, 32, 1)
    np.testing.assert_array_equal(large.test.labels, data.test.labels)


@pytest.mark.first_cases(2)
@pytest.mark.parametrize("augment", ["none", "crop", "strong"])
def test_augmentation_leaves_the_labels_of_an_image_alone(augment):
    data = datasets.load("multilabel:digits", train_examples=40, validation_fraction=0.0)
    batches = pipeline.training_batches(data, batch_size=8, epochs=1, seed=0, augment=augment)
    seen = np.concatenate([labels for _, labels in batches.as_numpy_iterator()])
    np.testing.assert_array_equal(
        sorted(map(tuple, seen.tolist())), sorted(map(tuple, data.train.labels.tolist()))
    )
