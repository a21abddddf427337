from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ban_tf import datasets
from ban_tf.datasets import augmentation, image_data, normalization, pipeline


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_examples=110)


def _batches(data, **options):
    arguments = {"batch_size": 16, "epochs": 3, "seed": 5, "augment": True} | options
    return list(pipeline.training_batches(data, **arguments).as_numpy_iterator())


@pytest.mark.parametrize("size", [(8, 8, 1), (5, 7, 3)])
def test_augmentation_agrees_with_padding_cropping_and_flipping(size):
    height, width, _ = size
    images = np.random.default_rng(0).integers(0, 256, (64, *size), dtype=np.uint8)
    drawn = augmentation.draw(64, tf.constant([1, 2], tf.int32))
    result = augmentation.apply(tf.constant(images), drawn).numpy()
    down, right, flip = (part.numpy() for part in drawn)
    assert set(flip) == {0, 1}
    assert {*down} == {*right} == set(range(9))
    for index, image in enumerate(images):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="reflect")
        expected = padded[down[index] :, right[index] :][:height, :width]
        expected = expected[:, ::-1] if flip[index] else expected
        np.testing.assert_array_equal(result[index], expected)


def test_crops_and_flips_are_uniform():
    drawn = augmentation.draw(16200, tf.constant([3, 4], tf.int32))
    views = np.ravel_multi_index([part.numpy() for part in drawn], (9, 9, 2))
    counts = np.bincount(views, minlength=162)  # 100 of each are expected
    chi_square = np.sum((counts - 100.0) ** 2 / 100.0)
    assert stats.chi2.sf(chi_square, df=161) > 1e-3


def test_images_too_small_to_reflect_are_refused():
    with pytest.raises(ValueError, match="4x8"):
        augmentation.apply(
            tf.zeros([2, 4, 8, 1], tf.uint8), augmentation.draw(2, tf.constant([0, 0]))
        )


def test_many_images_in_memory_are_not_copied_and_give_the_same_batches(data, monkeypatch):
    monkeypatch.setattr(image_data, "_MOST_COPIED", 0)
    many = datasets.load("digits", train_examples=110)
    monkeypatch.undo()
    assert isinstance(many.train.images, image_data.Rows) and many.content == data.content
    for (images, labels), (expected, expected_labels) in zip(
        _batches(many), _batches(data), strict=True
    ):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)
    ours, theirs = (
        next(iter(pipeline.evaluation_batches(found.validation, found, 50)))
        for found in (many, data)
    )
    np.testing.assert_array_equal(ours[0], theirs[0])


def test_rows_are_normalized_as_pixels_are_to_the_last_bit():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    mean, std = rng.uniform(0.1, 0.9, (2, 3)).astype(np.float32)
    expected = images.astype(np.float32) * (1.0 / (255.0 * std)) + -mean / std
    np.testing.assert_array_equal(normalization.normalized(images, mean, std), expected)
    np.testing.assert_allclose(expected, (images / 255 - mean) / std, atol=1e-5)
    parts = image_data.Split(images, np.zeros(5, np.int32))
    data = image_data.ImageData("", parts, parts, parts, ("a",), mean, std, False)
    batch = next(iter(pipeline.evaluation_batches(parts, data, 3)))[0]
    assert batch.shape == (3, 6, 7, 3)
    np.testing.assert_array_equal(batch, expected[:3])


@pytest.mark.parametrize("place", [(0, 3), (1, 0), (2, 4)])
def test_a_restart_resumes_bit_for_bit(data, place):
    steps = pipeline.steps_per_epoch(data, 16)
    tail = _batches(data)[place[0] * steps + place[1] :]
    restarted = _batches(data, first_epoch=place[0], first_step=place[1])
    assert len(tail) == len(restarted) > 0
    for (images, labels), (expected, expected_labels) in zip(restarted, tail, strict=True):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_an_epoch_repeats_no_example_and_epochs_and_seeds_differ(data):
    scaled = (data.train.images / 255 - data.mean) / data.std
    flat = scaled.reshape(len(scaled), -1)

    def order(batches):
        images = np.concatenate([images for images, _ in batches]).reshape(-1, flat.shape[1])
        distance = np.abs(images[:, None] - flat[None]).max(-1)
        assert distance.min(1).max() < 1e-4
        return distance.argmin(1)

    steps = pipeline.steps_per_epoch(data, 16)
    seen = order(_batches(data, augment=False, epochs=2))
    first, second = np.split(seen, 2)
    assert len(set(first)) == len(set(second)) == steps * 16
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, order(_batches(data, augment=False, epochs=1, seed=6)))


def test_training_batches_are_full_with_static_shapes(data):
    spec = pipeline.training_batches(
        data, batch_size=16, epochs=1, seed=0, augment=True
    ).element_spec
    assert spec[0].shape == (16, 8, 8, 1)
    assert (spec[0].dtype, spec[1].dtype) == (tf.float32, tf.int32)


def test_a_batch_larger_than_the_data_is_refused(data):
    with pytest.raises(ValueError, match=rf"--batch_size=500 .*{len(data.train.labels)}"):
        pipeline.steps_per_epoch(data, 500)


def test_evaluation_reads_every_example_in_order(data):
    dataset = pipeline.evaluation_batches(data.test, data, 100)
    assert dataset.element_spec[0].shape[0] is None
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    expected = (data.test.images / 255.0 - data.mean) / data.std
    np.testing.assert_allclose(np.concatenate(images), expected, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(labels), data.test.labels)


@pytest.mark.parametrize("workers", [2, 4])
def test_replicas_of_all_workers_share_each_batch_without_overlap_or_loss(data, workers):
    """Four replicas: as workers of two or of one each, resumed within an epoch."""
    each = 4 // workers
    place = {"first_epoch": 1, "first_step": 2}
    shares = [
        _batches(data, num_shards=4, shard_range=range(index * each, (index + 1) * each), **place)
        for index in range(workers)
    ]
    whole = _batches(data, **place)
    for step, (images, labels) in enumerate(whole):
        # The parts of a batch, in the order of the replicas, are the batch.
        parts = [part for share in shares for part in share[step * each : (step + 1) * each]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
    assert {len(share) for share in shares} == {each * len(whole)}
