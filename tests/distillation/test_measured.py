"""What was not measured is not reported."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import CLASSES, data, network, sgd

import ban_tf


def recorded(y):
    return {"labels": y, "teacher_logits": np.zeros((len(y), CLASSES), "float32")}


@pytest.mark.nightly
def test_validation_without_a_teacher_reports_no_teacher():
    x, y = data()
    model = ban_tf.BornAgainModel(network(), ban_tf.RecordedTeacher(), objective="kd")
    model.compile(sgd(), metrics=["accuracy"])
    history = model.fit(x, recorded(y), validation_data=(x, y), epochs=2, verbose=0).history
    assert {"teacher_loss", "teacher_agreement", "label_loss"} <= set(history)
    validation = {name for name in history if name.startswith("val_")}
    assert validation == {"val_loss", "val_label_loss", "val_accuracy"}
    assert all(len(values) == 2 for values in history.values())
    assert "teacher_loss" not in model.get_metrics_result()  # the last that was measured
    with_teacher = model.evaluate(x, recorded(y), verbose=0, return_dict=True)
    assert {"teacher_loss", "teacher_agreement"} <= set(with_teacher)


@pytest.mark.parametrize("eagerly", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_without_labels_no_metric_of_labels_is_reported(eagerly):
    x, y = data()
    model = ban_tf.BornAgainModel(network(), network(1), objective="kd")
    model.compile(sgd(), metrics=["accuracy"], run_eagerly=eagerly)
    options = {"validation_data": (x, y), "epochs": 2, "verbose": 0}
    history = model.fit(x, **options).history
    training = {name for name in history if not name.startswith("val_")}
    assert training == {"loss", "teacher_loss", "teacher_agreement"}
    assert {"val_accuracy", "val_label_loss", "val_teacher_loss"} <= set(history)
    results = model.evaluate(x, verbose=0, return_dict=True)
    assert set(results) == training


@pytest.mark.nightly
def test_losses_by_output_are_reported_where_there_are_labels():
    x, y = data()

    def build():
        inputs = keras.Input((6,))
        return keras.Model(inputs, [keras.layers.Dense(CLASSES, name=n)(inputs) for n in "ab"])

    model = ban_tf.BornAgainModel(build(), build(), objective="kd")
    model.compile(sgd(), [keras.losses.SparseCategoricalCrossentropy(from_logits=True)] * 2)
    history = model.fit(x, validation_data=(x, [y, y]), verbose=0).history
    assert {name for name in history if "a_loss" in name} == {"val_a_loss"}


@pytest.mark.nightly
def test_the_table_of_a_lineage_has_no_column_of_what_was_not_measured():
    x, y = data()
    lineage = ban_tf.Lineage(network, generations=1, objective="kd", recorded=True)

    def dataset(labels):
        return tf.data.Dataset.from_tensor_slices((x, labels)).batch(8)

    def batches(generation, epoch, step, teacher):
        return dataset(recorded(y) if generation else y)

    lineage.fit(batches, epochs=1, validation_data=lambda *_: dataset(y), verbose=0)
    assert "teacher_loss" in lineage.table()[1]
    assert not any(name.startswith("val_teacher") for row in lineage.table() for name in row)
