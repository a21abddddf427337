"""Labels in whichever form they come."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ban_tf import objectives

RANDOM = np.random.default_rng(0)


def reference(target, logits, smoothing=0.0):
    log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = target * (1 - smoothing) + smoothing / logits.shape[-1]
    return -(target * log_q).sum(-1)


def formats(labels, classes):
    return {
        "int32": labels.astype("int32"),
        "uint8": labels.astype("uint8"),
        "float32": labels.astype("float32"),
        "column": labels[..., None],
        "one-hot": np.eye(classes, dtype="float32")[labels],
    }


# As many samples as classes, and sequences as long: shapes that squeezing could confuse.
@pytest.mark.parametrize("shape", [(6, 5), (5, 5), (1, 5), (4, 3, 5), (5, 5, 5), (4, 1, 5)])
@pytest.mark.parametrize("form", ["int32", "uint8", "float32", "column", "one-hot"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_all_forms_of_labels_give_the_same_loss(shape, form, smoothing):
    logits = RANDOM.normal(size=shape).astype("float32")
    labels = RANDOM.integers(0, 5, shape[:-1])
    given = formats(labels, 5)[form]
    expected = reference(np.eye(5)[labels], logits.astype("float64"), smoothing)
    np.testing.assert_allclose(
        objectives.Labels(smoothing)(given, None, logits), expected, rtol=1e-4, atol=1e-5
    )
    loss = objectives.LabelCrossEntropy(label_smoothing=smoothing)
    np.testing.assert_allclose(loss(given, logits), expected.mean(), rtol=1e-4)


@pytest.mark.parametrize("name", ["cwtm", "importance", "dkd"])
@pytest.mark.parametrize("form", ["uint8", "float32", "column", "one-hot"])
def test_objectives_take_all_forms_of_labels(name, form):
    teacher, student = RANDOM.normal(size=(2, 6, 5)).astype("float32")
    labels = RANDOM.integers(0, 5, 6)
    objective = objectives.get(name)
    np.testing.assert_allclose(
        objective(formats(labels, 5)[form], teacher, student),
        objective(labels, teacher, student),
        rtol=1e-6,
    )


NARROW = ["bool", "uint8", "int8", "uint16", "uint32", "uint64", "int64"]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("form", ["index", "column", "one-hot"])
@pytest.mark.parametrize("name", ["labels", "cwtm", "importance", "dkd"])
def test_integers_of_any_width_and_bool_are_classes(name, form, dtype):
    teacher, student = RANDOM.normal(size=(2, 6, 2)).astype("float32")
    labels = np.array([0, 1, 1, 0, 1, 0])
    given = {"index": labels, "column": labels[:, None], "one-hot": np.eye(2)[labels]}[form]
    expected = objectives.get(name)(labels, teacher, student)
    if name == "labels":
        np.testing.assert_allclose(expected, reference(np.eye(2)[labels], student), rtol=1e-5)
    traced = [tf.function(objectives.get(name))] if form == "index" else []
    for call in (objectives.get(name), *traced):
        found = call(given.astype(dtype), teacher, student)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("label", [np.uint8(7), np.int8(-3), np.uint32(2**32 - 1), 2**32])
@pytest.mark.parametrize("traced", [False, True])
def test_no_label_out_of_range_becomes_a_class_by_its_width(label, traced):
    objective = objectives.Labels()
    call = tf.function(objective) if traced else objective
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="from 0 to 4"):
        call(np.array([label]), None, np.zeros((1, 5), "float32"))


def test_soft_labels_are_matched_as_they_are():
    target = RANDOM.dirichlet(np.ones(5), size=6)
    logits = RANDOM.normal(size=(6, 5))
    found = objectives.Labels()(target, None, logits)
    np.testing.assert_allclose(found, reference(target, logits), atol=1e-10)


def test_probabilities_are_taken_for_what_they_are():
    logits = RANDOM.normal(size=(6, 5))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = RANDOM.integers(0, 5, 6)
    found = objectives.LabelCrossEntropy(from_logits=False)(labels, p)
    expected = objectives.LabelCrossEntropy()(labels, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [True, False])
def test_the_loss_equals_that_of_keras(smoothing, from_logits):
    logits, labels = RANDOM.normal(size=(16, 5)).astype("float32"), RANDOM.integers(0, 5, 16)
    predictions = logits if from_logits else keras.ops.softmax(logits)
    arguments = {"from_logits": from_logits, "label_smoothing": smoothing}
    expected = keras.losses.CategoricalCrossentropy(**arguments)(np.eye(5)[labels], predictions)
    found = objectives.LabelCrossEntropy(**arguments)(labels, predictions)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_probability_near_zero_still_has_a_gradient():
    predictions = tf.constant([[1e-12, 1.0 - 1e-12]])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        loss = objectives.LabelCrossEntropy(from_logits=False)([0], predictions)
    np.testing.assert_allclose(loss, 12 * np.log(10), rtol=1e-5)
    assert tape.gradient(loss, predictions)[0, 0] < -1e11


def test_sample_weights_count_as_in_other_keras_losses():
    logits = RANDOM.normal(size=(6, 5)).astype("float32")
    labels, weights = RANDOM.integers(0, 5, 6), RANDOM.uniform(size=6)
    kwargs = {"sample_weight": weights}
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = objectives.LabelCrossEntropy()
    np.testing.assert_allclose(
        ours(labels, logits, **kwargs), theirs(labels, logits, **kwargs), rtol=1e-5
    )


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
def test_the_weight_of_a_sample_counts_for_all_of_its_positions(reduction):
    # As many positions as samples: weights along the wrong axis would go unnoticed.
    logits = RANDOM.normal(size=(4, 4, 5)).astype("float32")
    labels, weights = RANDOM.integers(0, 5, (4, 4)), RANDOM.uniform(size=4)
    loss = objectives.LabelCrossEntropy(reduction=reduction)
    log_q = np.float64(logits) - np.log(np.exp(np.float64(logits)).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    divisor = 16 if reduction == "sum_over_batch_size" else 4 * weights.sum()
    expected = np.sum(weights[:, None] * losses) / divisor
    np.testing.assert_allclose(loss(labels, logits, weights), expected, rtol=1e-5)


def test_the_loss_survives_saving():
    loss = objectives.LabelCrossEntropy(
        from_logits=False, label_smoothing=0.2, name="mine", reduction="sum"
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("shape", [(6, 4), (6, 5, 1), ()])
def test_labels_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match="`labels` must be integers"):
        objectives.Labels()(np.zeros(shape, "int32"), None, np.zeros((6, 5), "float32"))


@pytest.mark.parametrize("wrong", [-2, 5, 1.5, -1.5, np.nan])
@pytest.mark.parametrize("name", ["labels", "cwtm", "importance", "dkd"])
def test_labels_that_are_no_classes_are_noticed(wrong, name):
    logits = np.zeros((1, 5), "float32")
    with pytest.raises(ValueError, match=f"`labels` must be classes from 0 to 4.*: {wrong}"):
        objectives.get(name)(np.array([wrong]), logits, logits)


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.0, 1.0], [1.5, -0.5]])
def test_rows_that_are_no_distributions_are_noticed(row):
    logits = np.zeros((1, 2), "float32")
    with pytest.raises(ValueError, match="`labels` must be distributions over classes"):
        objectives.Labels()(np.array([row]), None, logits)


@pytest.mark.parametrize("name", ["labels", "dkd"])
def test_in_a_compiled_program_a_label_out_of_range_makes_the_loss_no_number(name):
    teacher, student = RANDOM.normal(size=(2, 3, 5)).astype("float32")
    compiled = tf.function(objectives.get(name), jit_compile=True)
    found = np.array(compiled(np.array([4, 7, 0]), teacher, student))
    np.testing.assert_array_equal(np.isnan(found), [False, True, False])


@pytest.mark.parametrize("name", ["labels", "cwtm", "importance", "dkd"])
def test_missing_labels_are_refused(name):
    logits = np.zeros((6, 5), "float32")
    with pytest.raises(ValueError, match="`labels` is None"):
        objectives.get(name)(None, logits, logits)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        objectives.Labels(smoothing)
    with pytest.raises(ValueError, match="label_smoothing"):
        objectives.LabelCrossEntropy(label_smoothing=smoothing)
