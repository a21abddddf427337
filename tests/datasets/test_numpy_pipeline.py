"""The batches of other backends against those of TensorFlow."""

import importlib
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf import datasets
from ban_tf.datasets import (
    example_batches,
    numpy_pipeline,
    numpy_policies,
    policies,
    tensor_pipeline,
    text_batches,
)


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_examples=110)


def _equal(ours, theirs):
    ours, theirs = list(ours), list(theirs.as_numpy_iterator())
    assert len(ours) == len(theirs) > 0
    for found, expected in zip(ours, theirs, strict=True):
        tf.nest.assert_same_structure(found, expected)
        for part, same in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
            assert part.dtype == same.dtype
            np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_batches_and_views_equal_those_of_tensorflow_bit_by_bit(augment, data):
    logits = np.random.default_rng(0).normal(size=(2, 110, 10)).astype(np.float32)
    arguments = {"batch_size": 16, "epochs": 3, "seed": 5, "view_seed": 7, "views": 2}
    arguments |= {"augment": augment, "first_epoch": 1, "first_step": 2}
    tensors = tf.constant(logits)
    _equal(
        numpy_pipeline.training_batches(
            data, **arguments, teacher_logits=lambda view, rows: logits[view, rows]
        ),
        tensor_pipeline.training_batches(
            data, **arguments, teacher_logits=lambda view, rows: tf.gather(tensors[view], rows)
        ),
    )
    view = {"batch_size": 16, "view_seed": 7, "view": 1, "augment": augment, "first": 3}
    _equal(numpy_pipeline.view_batches(data, **view), tensor_pipeline.view_batches(data, **view))


def test_evaluation_equals_that_of_tensorflow_bit_by_bit(data):
    arguments = (data.test, data, 100)
    _equal(
        numpy_pipeline.evaluation_batches(*arguments),
        tensor_pipeline.evaluation_batches(*arguments),
    )
    _equal(
        numpy_pipeline.image_batches(*arguments, 7), tensor_pipeline.image_batches(*arguments, 7)
    )


def test_batches_of_arrays_equal_those_of_tensorflow_bit_by_bit(monkeypatch):
    inputs = np.arange(26, dtype=np.float32).reshape(13, 2)
    examples = example_batches.Examples(inputs, np.arange(13, dtype=np.int32))
    tokens = np.arange(13, dtype=np.int32)
    outputs = np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)

    def taught(epoch, chosen, inputs, labels):
        return inputs, {"labels": labels, "teacher_logits": outputs[np.asarray(chosen)]}

    def of_tensors(epoch, chosen, inputs, labels):
        logits = tf.gather(tf.constant(outputs), chosen)
        return inputs, {"labels": labels, "teacher_logits": logits}

    arguments = {"batch_size": 4, "seed": 3, "first_epoch": 1, "first_step": 2}
    theirs = example_batches.training_batches(examples, **arguments, change=of_tensors).take(7)
    validation = example_batches.evaluation_batches(examples, 5)
    words = text_batches.training_batches(tokens, 2, 2, first_step=2)
    held_out = text_batches.evaluation_batches(tokens, 2, 4)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    ours = example_batches.training_batches(examples, **arguments, change=taught)
    _equal(itertools.islice(ours, 7), theirs)
    _equal(example_batches.evaluation_batches(examples, 5), validation)
    ours = text_batches.training_batches(tokens, 2, 2, first_step=2)
    _equal(itertools.islice(ours, 5), words.take(5))
    _equal(text_batches.evaluation_batches(tokens, 2, 4), held_out)


def test_workers_share_batches_of_arrays_and_of_text_as_on_tensorflow(monkeypatch):
    inputs = {"a": np.arange(26, dtype=np.float32).reshape(13, 2)}
    examples = example_batches.Examples(inputs, np.arange(13, dtype=np.int32))
    tokens = np.arange(60, dtype=np.int32)
    place = {"batch_size": 6, "seed": 3, "first_epoch": 1, "first_step": 1}
    share = {"num_shards": 3, "shard_range": range(1, 2)}
    theirs = example_batches.training_batches(examples, **place, **share).take(7)
    words = text_batches.training_batches(tokens, 6, 2, first_step=1, **share).take(7)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    ours = example_batches.training_batches(examples, **place, **share)
    _equal(itertools.islice(ours, 7), theirs)
    whole = example_batches.training_batches(examples, **place)
    for (_, labels), (_, part) in zip(itertools.islice(whole, 7), ours, strict=False):
        np.testing.assert_array_equal(part, labels[2:4])
    ours = text_batches.training_batches(tokens, 6, 2, first_step=1, **share)
    _equal(itertools.islice(ours, 7), words)


@pytest.mark.parametrize("size", [(80, 64, 3), (9, 12, 1), (1, 5, 4)])
def test_resized_crops_agree_up_to_the_rounding_of_a_pixel(size):
    seed = (3, -4)
    images = np.random.default_rng(0).integers(0, 256, (60, *size), dtype=np.uint8)
    masks = np.random.default_rng(1).integers(0, 5, (60, *size[:2]), dtype=np.uint8)
    drawn = numpy_policies.draw("standard", 60, seed)
    theirs = policies.draw("standard", 60, tf.constant(seed))
    for part, same in zip(drawn[0], theirs[0], strict=True):
        np.testing.assert_allclose(part, same, atol=1e-6)
    found = numpy_policies.apply("standard", images, drawn)
    expected = policies.apply("standard", tf.constant(images), theirs).numpy()
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3
    moved = numpy_policies.apply_to_masks("standard", masks, drawn)
    same = policies.apply_to_masks("standard", tf.constant(masks), theirs).numpy()
    assert np.mean(moved != same) < 1e-3


@pytest.mark.parametrize("size", [(20, 17, 3), (9, 12, 1)])
def test_strong_augmentation_agrees_up_to_the_rounding_of_a_pixel(size):
    seed = (5, -2)
    images = np.random.default_rng(0).integers(0, 256, (150, *size), dtype=np.uint8)
    masks = np.random.default_rng(1).integers(0, 5, (150, *size[:2], 1), dtype=np.uint8)
    drawn = numpy_policies.draw("strong", 150, seed)
    theirs = policies.draw("strong", 150, tf.constant(seed))
    for name, draws, same in zip(policies.steps("strong"), drawn, theirs, strict=True):
        for part, expected in zip(draws, same, strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-6)
        ours, module = (
            numpy_policies.STEPS[name],
            importlib.import_module(f"ban_tf.datasets.{name}"),
        )
        found = ours.apply(images, draws)
        expected = module.apply(tf.constant(images), same).numpy()
        assert found.dtype == np.uint8
        different = np.abs(found.astype(int) - expected) > 1
        assert np.mean(different) < 1e-4 and np.mean(found != expected) < 2e-3, name
        if hasattr(module, "apply_to_masks"):
            moved = module.apply_to_masks(tf.constant(masks), same).numpy()
            assert np.mean(ours.apply_to_masks(masks, draws) != moved) < 1e-3, name
