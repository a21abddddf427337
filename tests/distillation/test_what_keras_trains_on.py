"""What plain Keras trains on is trained on, with the same history, and looking changes nothing."""

import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
from twins import CLASSES, data

import ban_tf

layers, ops = keras.layers, keras.ops
VOID = 255


def network():
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, activation="tanh")(inputs)
    return keras.Model(inputs, layers.Dense(CLASSES, name="out")(hidden))


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID)


def own_void(y_true, y_pred):
    counts = ops.cast(ops.not_equal(y_true, VOID), "float32")
    labels = ops.where(ops.equal(y_true, VOID), 0, y_true)
    losses = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
    return losses * ops.reshape(counts, (-1,))


def own_nan(y_true, y_pred):
    known = ops.logical_not(ops.isnan(y_true))
    return ops.mean(ops.where(known, ops.square(ops.where(known, y_true, 0.0) - y_pred), 0.0), -1)


class ReplaceNan(layers.Layer):
    def call(self, inputs):
        return ops.nan_to_num(inputs)


class AddsLoss(layers.Layer):
    def call(self, inputs):
        self.add_loss(ops.mean(ops.square(inputs)))
        return inputs


def after(layer):
    return lambda: keras.Sequential([keras.Input((6,)), layer(), layers.Dense(CLASSES)])


class RegularizedAddsLoss(layers.Dense):
    """Adds a loss of its own beside that of its regularizer."""

    def __init__(self):
        super().__init__(5, activity_regularizer=keras.regularizers.L2(0.1))

    def call(self, inputs):
        outputs = super().call(inputs)
        self.add_loss(ops.mean(ops.square(outputs - 1.0)))
        return outputs


def regularized_beside():
    last = layers.Dense(CLASSES, activity_regularizer=keras.regularizers.L2(0.2))
    return keras.Sequential([keras.Input((6,)), AddsLoss(), last, layers.ReLU()])


def regularized_twice():
    """A layer that is called twice makes two losses of its regularizer."""
    inputs, shared = keras.Input((6,)), layers.Dense(6, activity_regularizer="l2")
    return keras.Model(inputs, layers.Dense(CLASSES)(AddsLoss()(shared(shared(inputs)))))


def functional_nan():
    inputs = keras.Input((6,))
    known = ops.where(ops.isnan(inputs), 0.0, inputs)
    return keras.Model(inputs, layers.Dense(CLASSES)(known))


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(CLASSES)

    def call(self, inputs):
        return self.last(ops.nan_to_num(inputs))


def nested():
    inputs = keras.Input((6,))
    first, second = (layers.Dense(CLASSES, name=name)(inputs) for name in "ab")
    return keras.Model(inputs, {"p": (first, second), "q": second})


def own_losses():
    inputs = keras.Input((6,))
    return keras.Model(inputs, AddsLoss()(layers.Dense(CLASSES)(inputs)))


def history(wrapped, build, loss, fit, run_eagerly=False):
    keras.utils.set_random_seed(0)
    model = ban_tf.BornAgainModel(build()) if wrapped else build()
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=run_eagerly)
    return model.fit(**fit(), epochs=2, verbose=0).history


X, Y = data(24)
VOIDS = np.where(np.arange(24) % 3 == 0, VOID, Y)
TARGETS = X[:, :CLASSES]
NAN_X, NAN_TARGETS = np.where(X > 1, np.nan, X), np.where(TARGETS > 1, np.nan, TARGETS)

CASES = {
    "ignore_class": (network, sparse, lambda: {"x": X, "y": VOIDS}),
    "add_loss and classes": (own_losses, lambda: None, lambda: {"x": X, "y": Y}),
    "ignore_class in a list": (network, lambda: [sparse()], lambda: {"x": X, "y": VOIDS}),
    "ignore_class by name": (network, lambda: {"out": sparse()}, lambda: {"x": X, "y": VOIDS}),
    "own label for none": (network, lambda: own_void, lambda: {"x": X, "y": VOIDS}),
    "own label -1": (
        network,
        lambda: lambda y, p: own_void(ops.where(ops.equal(y, -1), VOID, y), p),
        lambda: {"x": X, "y": np.where(VOIDS == VOID, -1, Y)},
    ),
    "NaN in y": (network, lambda: own_nan, lambda: {"x": X, "y": NAN_TARGETS}),
    "NaN in x, own layer": (after(ReplaceNan), sparse, lambda: {"x": NAN_X, "y": Y}),
    "NaN in x, Lambda": (
        after(lambda: layers.Lambda(ops.nan_to_num)),
        sparse,
        lambda: {"x": NAN_X, "y": Y},
    ),
    "NaN in x, graph": (functional_nan, sparse, lambda: {"x": NAN_X, "y": Y}),
    "NaN in x, subclass": (Subclass, sparse, lambda: {"x": NAN_X, "y": Y}),
    "data frame": (
        network,
        sparse,
        lambda: {"x": pandas.DataFrame(X), "y": pandas.Series(VOIDS), "shuffle": False},
    ),
    "tensors": (network, sparse, lambda: {"x": tf.constant(X), "y": tf.constant(VOIDS)}),
    "add_loss without labels": (own_losses, lambda: None, lambda: {"x": X}),
    "add_loss and values": (own_losses, lambda: None, lambda: {"x": X, "y": TARGETS}),
    "add_loss beside an activity regularizer": (
        regularized_beside,
        lambda: None,
        lambda: {"x": X, "y": Y},
    ),
    "add_loss in a regularized layer": (
        after(RegularizedAddsLoss),
        lambda: None,
        lambda: {"x": X, "y": Y},
    ),
    "add_loss after a regularized layer": (
        regularized_twice,
        lambda: None,
        lambda: {"x": X, "y": Y},
    ),
    "add_loss in a data set": (
        own_losses,
        lambda: None,
        lambda: {"x": tf.data.Dataset.from_tensor_slices((X, TARGETS)).batch(8)},
    ),
    "nested outputs": (
        nested,
        lambda: {"p": ("mse", "mse"), "q": "mse"},
        lambda: {"x": X, "y": {"p": (TARGETS, TARGETS), "q": TARGETS}},
    ),
}


# Those that differ from another case in what is looked at before the first step.
EAGER = {
    *("ignore_class in a list", "ignore_class by name", "own label -1", "NaN in x, own layer"),
    *("NaN in x, Lambda", "NaN in x, subclass", "data frame", "tensors", "add_loss and values"),
    *("add_loss and classes", "add_loss after a regularized layer"),
}


@pytest.mark.first_cases(2)
@pytest.mark.filterwarnings("ignore:`compile` was given no loss")
@pytest.mark.parametrize("case", CASES)
def test_the_history_is_that_of_plain_keras(case):
    build, loss, fit = CASES[case]
    ours, theirs = (history(own, build, loss(), fit, case in EAGER) for own in (True, False))
    assert ours == theirs


def test_labels_that_losses_of_the_student_leave_out_are_warned_of():
    with pytest.warns(UserWarning, match="`y` does not count"):
        history(True, own_losses, None, lambda: {"x": X, "y": Y}, run_eagerly=True)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("calls", [1, 2])
def test_activity_regularizers_alone_leave_the_label_loss(calls):
    keras.utils.set_random_seed(0)
    inputs, shared = keras.Input((6,)), layers.Dense(6, activity_regularizer="l2")
    outputs = inputs
    for _ in range(calls):
        outputs = shared(outputs)
    model = ban_tf.BornAgainModel(keras.Model(inputs, layers.Dense(CLASSES)(outputs)))
    model.compile(keras.optimizers.SGD(0.0))
    found = model.fit(X, Y, batch_size=len(X), verbose=0).history["loss"][0]
    kernel, bias, *last = (np.float64(weight) for weight in model.student.get_weights())
    hidden, penalty = np.float64(X), 0.0
    for _ in range(calls):
        hidden = hidden @ kernel + bias
        penalty += 0.01 * np.sum(hidden**2) / len(X)
    logits = hidden @ last[0] + last[1]
    labels = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(Y)), Y]
    np.testing.assert_allclose(found, labels.mean() + penalty, rtol=1e-5)
    assert shared.activity_regularizer.get_config() == {"l2": 0.01}


def test_labels_beside_losses_of_the_student_need_a_loss_to_count():
    model = ban_tf.BornAgainModel(own_losses(), network(), objective="kd+labels")
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"no loss.*`add_loss`.*Provide a `loss`|provide a `loss`"):
        model.fit(X, Y, verbose=0)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("arrange", ["arrays", "with validation", "data set"])
@pytest.mark.parametrize("units", [1, CLASSES])
def test_without_a_loss_real_numbers_are_refused_as_keras_does(units, arrange):
    inputs = keras.Input((6,))
    model = ban_tf.BornAgainModel(keras.Model(inputs, layers.Dense(units)(inputs)))
    model.compile("sgd")
    y = 3 * X[:, :units]
    given = {"x": X, "y": y}
    if arrange == "with validation":
        given["validation_data"] = (X, Y % units)
    if arrange == "data set":
        given = {"x": tf.data.Dataset.from_tensor_slices((X, y)).batch(8)}
    before = model.student.get_weights()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"No loss to compute.* Provide a `loss` argument"):
            model.fit(**given, verbose=0)
    for old, new in zip(before, model.student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # What was refused leaves nothing behind.
    model.fit(X, Y % max(2, units), verbose=0)
    with pytest.raises(ValueError, match=r"No loss to compute"):
        model.evaluate(**{name: given[name] for name in ("x", "y") if name in given}, verbose=0)


class Counted(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()
        self.drawn = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.drawn += 1
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def test_no_check_draws_from_data_or_runs_the_student():
    draws = []
    for wrapped in (True, False):
        batches = Counted()
        history(wrapped, network, sparse(), lambda batches=batches: {"x": batches}, True)
        draws.append(batches.drawn)
    assert draws[0] == draws[1]

    calls = []

    class Watched(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    model = ban_tf.BornAgainModel(after(Watched)(), after(Watched)())
    model.compile("sgd", sparse())
    calls.clear()
    model._check(X, Y)
    assert not calls


@pytest.mark.parametrize("bad", ["x", "sample_weight", "y"])
def test_a_refusal_names_the_switch_that_turns_it_off(bad):
    given = {"x": X, "y": TARGETS, "sample_weight": np.ones(24, "float32")}
    given[bad] = np.array(given[bad])
    given[bad][0] = np.nan
    model = ban_tf.BornAgainModel(network())
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"`{bad}` holds NaN.*`check_data=False`"):
        model.fit(**given, verbose=0)
    model = ban_tf.BornAgainModel(network(), check_data=False)
    model.compile("sgd", "mse", run_eagerly=True)
    assert np.isnan(model.fit(**given, verbose=0).history["loss"]).all()
