"""Augmentation inside a student is warned of; in the data, teacher and student see the same."""

from __future__ import annotations

import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import ban_tf

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 6, 6, 1)).astype("float32")
LABELS = RNG.integers(0, 3, 8)
SENTENCE = "`student` augments its input"


class Flip(layers.RandomFlip):
    """A user's own augmentation, made from a stock one."""


def _network(*inside):
    return keras.Sequential([keras.Input((6, 6, 1)), *inside, layers.Flatten(), layers.Dense(3)])


def _pair(*inside):
    teacher, student = _network(), _network(*inside)
    student.set_weights(teacher.get_weights())
    return teacher, student


def _fit(student, teacher, data=(IMAGES, LABELS), **options):
    model = ban_tf.BornAgainModel(student, teacher, **options)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model.fit(*data, verbose=0).history


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "inside",
    [
        lambda: layers.RandomFlip("horizontal"),
        lambda: layers.RandomTranslation(0.1, 0.1),
        lambda: layers.RandAugment(),
        lambda: Flip(),
        lambda: layers.Pipeline([layers.Rescaling(1.0), layers.RandomRotation(0.1)]),
        lambda: keras.Sequential([keras.Input((6, 6, 1)), layers.RandomZoom(0.1)]),
    ],
    ids=["flip", "translation", "RandAugment", "subclass", "pipeline", "nested"],
)
def test_layers_that_augment_are_warned_of(inside):
    layer = inside()
    with pytest.warns(UserWarning, match=SENTENCE) as found:
        _fit(*_pair(layer)[::-1])
    sentences = [str(entry.message) for entry in found if SENTENCE in str(entry.message)]
    assert len(sentences) == 1
    assert re.search(r"random|rand_augment|flip", sentences[0]) and "dataset.map" in sentences[0]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("inside", "options"),
    [
        (layers.Dropout(0.1), {}),
        (layers.GaussianNoise(0.1), {}),
        (layers.Rescaling(2.0), {}),
        (layers.RandomFlip(), {"objective": "labels"}),
    ],
)
def test_what_is_no_augmentation_or_goes_without_its_teacher_is_not_warned_of(inside, options):
    teacher, student = _pair(inside)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=SENTENCE)
        _fit(student, teacher, **options)


@pytest.mark.nightly
def test_augmentation_without_a_teacher_or_in_it_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=SENTENCE)
        _fit(_network(layers.RandomFlip()), None, objective="kd+labels")
        _fit(student=_network(), teacher=_network(layers.RandomFlip()))


def test_augmented_data_is_the_same_view_for_both():
    """Equal networks agree on it, and so nothing is left to learn."""
    teacher, student = _pair()
    flip = layers.RandomFlip("horizontal")
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    data = data.map(lambda x, y: (flip(x, training=True), y))
    assert _fit(student, teacher, (data,), objective="kd")["teacher_loss"][0] < 1e-6
