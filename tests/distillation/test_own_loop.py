"""`compute_loss` in a training loop that the user writes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import assert_equal_weights, data, network, sgd

import ban_tf


def test_compute_loss_in_a_loop_calls_the_teacher_on_the_inputs_and_trains_as_fit_does():
    x, y = data()
    losses, models = [], []
    for own_loop in (True, False):
        model = ban_tf.BornAgainModel(network(0), network(1), "kd+labels", teacher_weight=0.5)
        optimizer = sgd()
        model.compile(optimizer)
        if own_loop:
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            losses.append(float(loss))
        else:
            losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
        models.append(model.student)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    assert_equal_weights(*models, atol=1e-6)


@pytest.mark.nightly
def test_evaluation_in_a_loop_has_the_same_terms():
    x, y = data()
    model = ban_tf.BornAgainModel(network(0), network(1), label_weight=0.3)
    model.compile(sgd())
    loss = model.compute_loss(x, y, model(x), training=False)
    expected = model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(float(loss), expected, rtol=1e-6)


def test_a_recorded_teacher_takes_what_comes_with_the_labels():
    x, y = data()
    teacher = network(1)
    target = {"labels": y, "teacher_logits": teacher.predict(x, verbose=0)}
    losses = []
    for kind, labels in ((teacher, y), (ban_tf.RecordedTeacher(), target)):
        model = ban_tf.BornAgainModel(network(0), kind)
        model.compile(sgd())
        losses.append(float(model.compute_loss(x, labels, model(x))))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_without_inputs_the_message_says_that_they_are_missing():
    x, y = data()
    model = ban_tf.BornAgainModel(network(0), network(1))
    model.compile(sgd())
    with pytest.raises(ValueError, match="`x` is None, but `teacher` is a model"):
        model.compute_loss(y=y, y_pred=model(x))


@pytest.mark.nightly
def test_features_of_the_student_are_only_kept_within_a_step():
    x, y = data()
    hint = keras.distillation.FeatureDistillation("mse", "hidden", "hidden")
    models = []
    for seed in (0, 1):
        model = network(seed)
        model.layers[0].name = "hidden"
        models.append(model)
    model = ban_tf.BornAgainModel(*models, distillation_losses=hint)
    model.compile(sgd())
    with pytest.raises(ValueError, match="`distillation_losses` name layers of the student"):
        model.compute_loss(x, y, model(x))
    assert np.all(np.isfinite(model.train_on_batch(x, y)))


def test_draws_and_schedules_go_on_with_the_steps_of_an_optimizer_that_was_not_compiled():
    x, y = data(8)
    progressive = ban_tf.objectives.Progressive("kd", steps=2)
    losses = {}
    for name, objective in (("dkpp", "dkpp"), ("progressive", progressive)):
        model, optimizer = ban_tf.BornAgainModel(network(0), network(1), objective), sgd()
        optimizer.learning_rate = 0.0
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            losses.setdefault(name, []).append(float(loss))
        assert float(model.compute_loss(x, y, model(x), training=False)) == float(
            model.compute_loss(x, y, model(x), training=False)
        )
    assert len(set(losses["dkpp"])) == 3
    labels, between, teacher = losses["progressive"]
    np.testing.assert_allclose(between, (labels + teacher) / 2, rtol=1e-6)
    assert labels != teacher
