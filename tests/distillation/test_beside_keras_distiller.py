"""Side by side with `keras.distillation.Distiller`, where the two differ.

Each test shows a fault of the stock class beside the right figure of ours. A Keras release that
mends one makes its test fail with a message that says so: good news, to be passed on.
"""

import keras
import numpy as np
import pytest
from twins import CLASSES, assert_equal_weights, data, network, softmax

import ban_tf

layers = keras.layers
Distiller = keras.distillation.Distiller
KL = keras.losses.KLDivergence


def still(fault, what):
    assert fault, (
        f"Keras {keras.__version__} mends a fault of keras.distillation: {what}. Take this test "
        "out, and the sentence about it wherever the two are compared."
    )


def logits_loss(temperature=1.0):
    return keras.distillation.LogitsDistillation(temperature, loss=KL())


def stock(student, teacher, losses=None, weight=0.0, **options):
    model = Distiller(teacher, student, losses or logits_loss(), student_loss_weight=weight)
    options = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options}
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True, **options)
    return model


def ours(student, teacher, losses=None, **options):
    model = ban_tf.BornAgainModel(student, teacher, distillation_losses=losses, **options)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def loss(model, *batch, **options):
    return model.test_on_batch(*batch, return_dict=True, **options)["loss"]


def test_the_stock_loss_by_its_default_is_no_divergence_of_distributions():
    teacher, student = np.float32([[2.0, -1.0, 0.5]]), np.float32([[1.0, 0.0, -0.5]])
    p, q = softmax(teacher / 2), softmax(student / 2)
    right = 4 * np.sum(p * np.log(p / q))
    np.testing.assert_allclose(right, 0.289, atol=1e-3)
    found = keras.distillation.LogitsDistillation(2.0).compute_loss(teacher, student)
    still(abs(float(found) - right) > 1, "LogitsDistillation() takes the divergence of logits")
    np.testing.assert_allclose(
        float(ban_tf.objectives.KD(2.0)(None, teacher, student)[0]), right, rtol=1e-5
    )


def test_the_stock_class_softens_a_softmax_twice():
    x, y = data()
    right = loss(ours(network(0), network(1)), x, y)
    found = loss(stock(network(0, activation="softmax"), network(1, activation="softmax")), x, y)
    still(abs(found - right) > 0.1 * right, "models that end in softmax are softened twice")
    mine = loss(ours(network(0, activation="softmax"), network(1, activation="softmax")), x, y)
    np.testing.assert_allclose(mine, right, rtol=1e-4)


def test_the_stock_class_ignores_sample_weights():
    x, y = data()
    nothing = np.zeros(len(y), "float32")
    found = [
        loss(stock(network(0), network(1), weight=0.5), x, y, sample_weight=weights)
        for weights in (None, nothing)
    ]
    still(found[0] == found[1], "sample_weight is ignored")
    assert loss(ours(network(0), network(1)), x, y, sample_weight=nothing) == 0


@pytest.mark.nightly
def test_the_stock_class_averages_over_padding():
    def tagger(seed):
        keras.utils.set_random_seed(seed)
        embedding = layers.Embedding(9, 4, mask_zero=True, embeddings_initializer="normal")
        return keras.Sequential([keras.Input((5,)), embedding, layers.Dense(CLASSES)])

    tokens = np.random.default_rng(0).integers(1, 9, (8, 5))
    tokens[:, 2:] = 0
    right = loss(ours(tagger(0), tagger(1)), tokens[:, :2], tokens[:, :2] % CLASSES)
    found = loss(stock(tagger(0), tagger(1)), tokens, tokens % CLASSES)
    still(abs(found - right) > 1e-3 * right, "masks are ignored")
    np.testing.assert_allclose(
        loss(ours(tagger(0), tagger(1)), tokens, tokens % CLASSES), right, rtol=1e-5
    )


@pytest.mark.nightly
def test_the_stock_class_drops_regularization():
    def regularized(penalty):
        return keras.Sequential(
            [keras.Input((6,)), layers.Dense(CLASSES, "linear", kernel_regularizer=penalty)]
        )

    x, y = data()
    heavy = regularized(keras.regularizers.L2(10.0))
    plain = keras.models.clone_model(heavy, clone_function=lambda _: layers.Dense(CLASSES))
    plain.set_weights(heavy.get_weights())
    penalty = 10 * np.sum(np.square(heavy.get_weights()[0]))
    found = [loss(stock(item, network(1)), x, y) for item in (heavy, plain)]
    still(found[0] == found[1], "the student's regularization losses are dropped")
    mine = [loss(ours(item, network(1)), x, y) for item in (heavy, plain)]
    np.testing.assert_allclose(mine[0] - mine[1], penalty, rtol=1e-5)


@pytest.mark.nightly
def test_the_stock_class_ignores_loss_weights():
    x, y = data()
    found = [
        loss(stock(network(0), network(1), weight=1.0, loss_weights=weights), x, y)
        for weights in (None, 0.0)
    ]
    still(found[0] == found[1] != 0, "loss_weights are ignored")
    model = ban_tf.BornAgainModel(network(0))
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", sparse, loss_weights=0.0)
    assert loss(model, x, y) == 0


@pytest.mark.nightly
def test_the_stock_class_trains_while_it_evaluates_features():
    def noisy(seed):
        keras.utils.set_random_seed(seed)
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.BatchNormalization(momentum=0.5, name="normalized"),
                layers.Dropout(0.5, seed=1),
                layers.Dense(8, name="features"),
                layers.Dense(CLASSES),
            ]
        )

    x, y = data()
    feature = keras.distillation.FeatureDistillation("mse", "features", "features")
    student = noisy(0)
    model = stock(student, noisy(1), feature)
    found = {loss(model, x, y) for _ in range(3)}
    still(len(found) > 1, "evaluating features gives another figure each time")
    moved = np.abs(student.layers[0].moving_mean.numpy()).max()
    still(moved > 0, "evaluating features moves batch statistics")
    student = noisy(0)
    stock(student, noisy(1), feature).train_on_batch(x, y)
    mean = student.layers[0].moving_mean.numpy()
    still(
        np.allclose(mean, 0.75 * x.mean(axis=0), atol=1e-5),
        "batch statistics move twice a training step",
    )
    student = noisy(0)
    model = ours(student, noisy(1), [feature])
    assert len({loss(model, x, y) for _ in range(3)}) == 1
    assert not student.layers[0].moving_mean.numpy().any()
    model.train_on_batch(x, y)
    np.testing.assert_allclose(
        student.layers[0].moving_mean.numpy(), 0.5 * x.mean(axis=0), atol=1e-5
    )


@pytest.mark.nightly
def test_the_stock_class_does_not_train_on_after_loading(tmp_path):
    x, y = data()
    model = stock(network(0), network(1))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "stock.keras")
    with pytest.warns(UserWarning, match="compile"):
        again = keras.models.load_model(tmp_path / "stock.keras")
    try:
        again.fit(x, y, verbose=0)
    except AttributeError:
        fails = True
    else:
        fails = False
    still(fails, "fit fails after load_model")
    model = ours(network(0), network(1))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "ours.keras", include_teacher=True)
    keras.models.load_model(tmp_path / "ours.keras").fit(x, y, verbose=0)


@pytest.mark.nightly
def test_the_stock_class_is_refused_by_backups_when_fresh(tmp_path):
    x, y = data()
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    try:
        stock(network(0), network(1)).fit(x, y, callbacks=[backup], verbose=0)
    except ValueError:
        fails = True
    else:
        fails = False
    still(fails, "BackupAndRestore fails on a fresh Distiller")
    ours(network(0), network(1)).fit(x, y, callbacks=[backup], verbose=0)


def test_the_stock_class_keeps_the_teacher_among_the_students_weights():
    models = [make(network(0), network(1)) for make in (stock, ours)]
    numbers = [sum(np.size(weight) for weight in model.get_weights()) for model in models]
    students = network(0).count_params()
    still(numbers[0] == 2 * students, "the teacher is saved in every checkpoint of its student")
    assert numbers[1] == students


@pytest.mark.nightly
def test_the_stock_class_refuses_a_student_of_another_precision():
    keras.utils.set_random_seed(0)
    student = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, dtype="mixed_bfloat16")])
    try:
        stock(student, network(1))
    except ValueError:
        refused = True
    else:
        refused = False
    still(refused, "a float32 teacher of a bfloat16 student is refused")
    x, y = data()
    assert np.isfinite(loss(ours(student, network(1)), x, y))


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_the_stock_class_trains_nothing_when_the_teacher_is_the_student():
    x, y = data()
    student = network(0)
    stock(student, student, weight=0.5).train_on_batch(x, y)
    unmoved = all(
        np.array_equal(a, b)
        for a, b in zip(student.get_weights(), network(0).get_weights(), strict=True)
    )
    still(unmoved, "a teacher that is the student is accepted, and nothing is trained")
    with pytest.raises(ValueError, match="shares weights"):
        ours(student, student)


@pytest.mark.nightly
def test_the_stock_class_freezes_the_users_teacher_for_good():
    teacher = network(1)
    stock(network(0), teacher)
    still(not teacher.trainable, "the user's teacher is left frozen")
    teacher = network(1)
    model = ours(network(0), teacher)
    model.train_on_batch(*data())
    assert teacher.trainable
    assert_equal_weights(teacher, network(1), atol=0)


@pytest.mark.nightly
def test_the_stock_class_shows_its_losses_no_labels():
    seen = {}

    class Asks(keras.distillation.DistillationLoss):
        def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
            seen.update(kwargs)
            return keras.ops.mean(student_outputs)

    x, y = data()
    loss(stock(network(0), network(1), Asks()), x, y)
    still(not seen, "a loss cannot see the labels")
    assert np.isfinite(loss(ours(network(0), network(1), objective="cwtm"), x, y))
