"""What a student's class has of its own: its loss, metrics, `compile`, `predict_step`."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from twins import CLASSES, data, network, sgd, softmax

import ban_tf

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PENALTY = 0.01


class Student(keras.Model):
    """A linear classifier with a penalty on its weights."""

    def __init__(self, **options):
        super().__init__(**options)
        self.last = layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(PENALTY))

    def call(self, inputs, training=None):
        return self.last(inputs)


class OwnLoss(Student):
    """Adds the mean square of its outputs to whatever Keras computes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.size = keras.metrics.Mean(name="size")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        size = ops.mean(ops.square(y_pred))
        self.size.update_state(size)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training) + 0.3 * size


class Unlabeled(Student):
    """Has no use for labels, or for its penalty, nor for the argument `training`."""

    def compute_loss(self, x, y, y_pred, sample_weight=None):
        return ops.mean(ops.square(y_pred - 1.0))


class OwnMetrics(Student):
    def __init__(self, **options):
        super().__init__(**options)
        self.largest = keras.metrics.Mean(name="largest")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        self.largest.update_state(ops.max(y_pred))
        return {**results, "largest": self.largest.result(), "constant": 7.0}


class OnlyItsTracker(Student):
    """As in the documentation of Keras: other metrics than Keras would list."""

    def __init__(self, **options):
        super().__init__(**options)
        self.tracker = keras.metrics.Mean(name="loss")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = CROSS_ENTROPY(y, y_pred) * 2.0
        self.tracker.update_state(loss)
        return loss

    @property
    def metrics(self):
        return [self.tracker]

    def reset_metrics(self):
        self.tracker.reset_state()


class OwnCompile(OwnLoss):
    def compile(self, optimizer, factor, **options):
        super().compile(optimizer, loss=CROSS_ENTROPY, **options)
        self.factor = factor

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        return self.factor * loss + 0.0 * ops.cast(self.optimizer.iterations, loss.dtype)


def make(kind):
    keras.utils.set_random_seed(0)
    student = kind()
    student(np.zeros((1, 6)))
    return student


def compiled(model, kind, **options):
    if kind is OwnCompile:
        model.compile(sgd(), factor=0.5, metrics=["accuracy"], **options)
    else:
        model.compile(sgd(), CROSS_ENTROPY, metrics=["accuracy"], **options)
    return model


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "kind", [OwnLoss, Student, Unlabeled, OwnMetrics, OnlyItsTracker, OwnCompile]
)
def test_without_a_teacher_its_history_is_that_of_plain_keras_bit_for_bit(kind):
    x, y = data()
    histories, results = [], []
    for wrap in (lambda model: model, ban_tf.BornAgainModel):
        model = compiled(wrap(make(kind)), kind, run_eagerly=kind not in (OwnLoss, OwnCompile))
        fit = model.fit(x, y, batch_size=16, epochs=2, validation_data=(x, y), verbose=0)
        histories.append(fit.history)
        results.append(model.evaluate(x, y, verbose=0))
    assert histories[0] == histories[1]
    assert list(histories[0]) == list(histories[1])
    assert results[0] == results[1]


def cross_entropy(labels, logits):
    return -np.mean(np.sum(labels * np.log(softmax(logits).astype("float64")), axis=-1))


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("label_weight", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", [OwnLoss, Unlabeled])
def test_with_a_teacher_its_loss_is_the_label_term_and_penalties_count_once(kind, label_weight):
    x, y = data()
    student, teacher = make(kind), network(1)
    logits, kernel = (
        ops.convert_to_numpy(student(x)),
        student.last.get_weights()[0].astype("float64"),
    )
    theirs = ops.convert_to_numpy(teacher(x))
    kd = cross_entropy(softmax(theirs), logits) - cross_entropy(softmax(theirs), theirs)
    if kind is OwnLoss:
        own = cross_entropy(np.eye(CLASSES)[y], logits) + 0.3 * np.mean(np.square(logits))
        penalty = PENALTY * np.sum(np.square(kernel))
    else:
        own, penalty = np.mean(np.square(logits - 1.0)), 0.0  # Keras would not add it either
    model = ban_tf.BornAgainModel(student, teacher, "kd", label_weight=label_weight)
    model.compile(sgd(), CROSS_ENTROPY, run_eagerly=label_weight != 0.25)
    logs = model.train_on_batch(x, y, return_dict=True)
    np.testing.assert_allclose(logs["teacher_loss"], kd, rtol=1e-5)
    np.testing.assert_allclose(logs["label_loss"], own, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], label_weight * own + kd + penalty, rtol=1e-5)
    if kind is OwnLoss:
        np.testing.assert_allclose(logs["size"], np.mean(np.square(logits)), rtol=1e-5)


@pytest.mark.nightly
def test_its_own_metrics_are_reported_beside_a_teacher_and_reset_between_epochs():
    x, y = data()
    model = ban_tf.BornAgainModel(make(OwnMetrics), network(1), "kd+labels")
    model.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY)
    history = model.fit(x, y, batch_size=32, shuffle=False, epochs=2, verbose=0).history
    largest = np.max(ops.convert_to_numpy(model.student(x)))
    np.testing.assert_allclose(history["largest"], [largest] * 2, rtol=1e-6)
    assert history["constant"] == [7.0, 7.0]
    assert {"loss", "label_loss", "teacher_loss", "teacher_agreement"} < set(history)


def test_a_method_that_was_put_on_the_student_itself_counts_too():
    x, y = data()
    student = network()
    student.compute_loss = lambda x, y, y_pred, sample_weight, training: ops.mean(y_pred) + 5.0
    expected = np.mean(ops.convert_to_numpy(student(x))) + 5.0
    model = ban_tf.BornAgainModel(student)
    model.compile(sgd(), CROSS_ENTROPY)
    np.testing.assert_allclose(model.train_on_batch(x, y), expected, rtol=1e-6)


@pytest.mark.nightly
def test_predict_calls_its_predict_step_and_its_predict():
    class Steps(Student):
        def predict_step(self, data):
            return ops.softmax(super().predict_step(data)) * 100.0

    class Whole(Student):
        def predict(self, x, scale=1.0, **options):
            return scale * super().predict(x, **options)

    x, _ = data()
    for kind, options in ((Steps, {}), (Whole, {"scale": 3.0})):
        student = make(kind)
        model = ban_tf.BornAgainModel(student, network(1))
        expected = student.predict(x, verbose=0, **options)
        np.testing.assert_array_equal(model.predict(x, verbose=0, **options), expected)
        assert not np.allclose(expected, ops.convert_to_numpy(student(x)))


STEPS_AND_LOOPS = ["train_step", "test_step", "fit", "evaluate"]
STEPS_AND_LOOPS += ["train_on_batch", "test_on_batch", "predict_on_batch"]
STEPS_AND_LOOPS += ["make_train_function", "make_test_function", "make_predict_function"]


@pytest.mark.parametrize("name", STEPS_AND_LOOPS)
@pytest.mark.parametrize("taught", [True, False])
def test_a_step_or_loop_of_its_own_is_refused_from_the_start(name, taught):
    kind = type("Steps", (Student,), {name: lambda self, *arguments, **options: {}})
    with pytest.raises(ValueError, match=f"`student` Steps has its own {name}, .*compute_loss"):
        ban_tf.BornAgainModel(make(kind), network(1) if taught else None)


@pytest.mark.parametrize("name", ["train_step", "make_train_function", "predict_on_batch"])
def test_a_lineage_refuses_a_step_or_loop_of_its_own_for_every_generation(name):
    kind = type("Steps", (Student,), {name: lambda self, *arguments, **options: {}})
    for generations in (0, 1):
        with pytest.raises(ValueError, match=f"`student` Steps has its own {name}"):
            ban_tf.Lineage(lambda: make(kind), generations=generations)
    with pytest.raises(ValueError, match=f"`student` Steps has its own {name}"):
        ban_tf.Lineage(lambda: make(kind), student_build=lambda: make(Student), generations=1)


@pytest.mark.nightly
def test_the_student_is_left_as_it_was_given():
    x, y = data()
    student = make(OwnLoss)
    model = ban_tf.BornAgainModel(student, network(1))
    model.compile(sgd(), CROSS_ENTROPY, metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    assert not student.compiled
    assert getattr(student, "optimizer", None) is None
    student.compile(sgd(), "mse")
    before = student.optimizer
    model.fit(x, y, verbose=0)
    assert student.optimizer is before
    assert student.loss == "mse"


@pytest.mark.nightly
def test_its_own_compile_is_called_again_after_loading(tmp_path):
    @keras.saving.register_keras_serializable("test_own_code")
    class Saved(OwnCompile):
        def get_compile_config(self):
            return {"factor": self.factor}

        def compile_from_config(self, config):
            self.compile(sgd(), factor=config["factor"])

    x, y = data()
    model = compiled(ban_tf.BornAgainModel(make(Saved)), OwnCompile)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.student.factor == 0.5
    expected = model.evaluate(x, y, verbose=0)[0]
    np.testing.assert_allclose(loaded.evaluate(x, y, verbose=0)[0], expected, rtol=1e-6)


def test_without_a_teacher_variables_line_up_with_the_students_and_layers_are_found_by_name():
    student = network()
    model = ban_tf.BornAgainModel(student)
    for names in ("variables", "weights", "trainable_variables", "non_trainable_variables"):
        ours, theirs = getattr(model, names), getattr(student, names)
        assert [id(layer) for layer in ours] == [id(layer) for layer in theirs]
    other = network(3)
    model.set_weights(other.get_weights())
    for one, expected in zip(student.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)
    name = student.layers[-1].name
    assert model.get_layer(name) is student.layers[-1]
    taught = ban_tf.BornAgainModel(student, network(1))
    assert [id(weight) for weight in taught.weights] == [id(weight) for weight in student.weights]


def test_one_number_for_each_example_needs_no_axis():
    inputs = keras.Input((6,))
    student = keras.Model(inputs, ops.sum(layers.Dense(3)(inputs), axis=-1))
    x, y = data()
    expected = np.mean((student.predict(x, verbose=0) - y) ** 2)
    model = ban_tf.BornAgainModel(student)
    model.compile(sgd(), "mse")
    np.testing.assert_allclose(model.train_on_batch(x, y), expected, rtol=1e-5)


@pytest.mark.nightly
def test_embeddings_are_found_through_the_model_in_training(tmp_path):
    student = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(9, 4, name="words"),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )
    model = ban_tf.BornAgainModel(student)
    model.compile(sgd(), CROSS_ENTROPY)
    board = keras.callbacks.TensorBoard(
        tmp_path, embeddings_freq=1, embeddings_metadata={"words": "words.tsv"}
    )
    x = np.random.default_rng(0).integers(0, 9, (8, 3))
    model.fit(x, np.arange(8) % CLASSES, callbacks=[board], verbose=0)
    configuration = next(tmp_path.rglob("projector_config.pbtxt")).read_text()
    assert "words.tsv" in configuration
