"""Which models can be student and teacher."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import CLASSES, assert_equal_weights, assert_trains_alike, data, network, sgd, softmax

import ban_tf

layers = keras.layers


@keras.saving.register_keras_serializable("test_models")
class Subclass(keras.Model):
    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(8, activation="relu")
        self.drop = layers.Dropout(0.5, seed=3)
        self.out = layers.Dense(CLASSES, activation=activation)

    def call(self, inputs, training=None):
        return self.out(self.drop(self.hidden(inputs), training=training))


def functional(seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    hidden = layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(CLASSES)(hidden))


def unbuilt(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([layers.Dense(8, activation="tanh"), layers.Dense(CLASSES)])


def subclass(seed=0):
    keras.utils.set_random_seed(seed)
    return Subclass()


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("build", [functional, unbuilt, subclass])
def test_any_kind_of_model_learns_as_it_would_alone(build):
    assert_trains_alike(build, *data())


def two_inputs(kind, seed=0):
    keras.utils.set_random_seed(seed)
    left, right = keras.Input((6,), name="left"), keras.Input((3,), name="right")
    hidden = layers.Concatenate()([layers.Dense(5)(left), layers.Dense(4)(right)])
    inputs = {"left": left, "right": right} if kind is dict else [left, right]
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Activation("relu")(hidden)))


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", [dict, list])
def test_several_inputs(kind):
    x, y = data()
    inputs = {"left": x, "right": x[:, :3] ** 2}
    inputs = inputs if kind is dict else list(inputs.values())
    assert_trains_alike(
        lambda: two_inputs(kind), inputs, y, teacher=two_inputs(kind, seed=1), atol=1e-4
    )


@pytest.mark.nightly
def test_a_network_of_keras_applications_and_its_softmax():
    def mobile_net(activation="softmax"):
        keras.utils.set_random_seed(0)
        return keras.applications.MobileNetV2(
            (32, 32, 3), 0.35, weights=None, classes=CLASSES, classifier_activation=activation
        )

    random = np.random.default_rng(0)
    x, y = random.uniform(-1, 1, (8, 32, 32, 3)).astype("float32"), random.integers(0, CLASSES, 8)
    keras.utils.set_random_seed(1)
    teacher = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.GlobalMaxPooling2D(), layers.Dense(CLASSES)]
    )
    plain, student = mobile_net(None), mobile_net()
    # Tracing so deep a network takes longer than running it.
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    plain.compile(sgd(), loss, run_eagerly=True)
    plain.train_on_batch(x, softmax(teacher.predict(x, verbose=0)))
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(sgd(), run_eagerly=True)
    model.train_on_batch(x, y)
    assert_equal_weights(student, plain, atol=1e-4)


@pytest.mark.nightly
def test_preprocessing_inside_the_models_differs_between_them():
    x, y = data()
    pixels = np.clip(x * 40 + 128, 0, 255).astype("uint8")

    def with_rescaling(seed=0):
        rescaling = [keras.Input((6,), dtype="uint8"), layers.Rescaling(1 / 127.5, offset=-1)]
        return keras.Sequential([*rescaling, *network(seed).layers])

    keras.utils.set_random_seed(1)
    normalization = layers.Normalization()
    normalization.adapt(pixels.astype("float32"))
    teacher = keras.Sequential([keras.Input((6,)), normalization, layers.Dense(CLASSES)])
    assert_trains_alike(with_rescaling, pixels, y, teacher=teacher)


@pytest.mark.nightly
def test_text_goes_in_as_it_is():
    words = np.array([["red apple"], ["green tree"], ["red tree"], ["apple"]] * 4, dtype=object)
    vectorization = layers.TextVectorization(output_sequence_length=3)
    vectorization.adapt(words)

    def build(seed=0):
        keras.utils.set_random_seed(seed)
        embedding = layers.Embedding(9, 4, mask_zero=True)
        pooling = layers.GlobalAveragePooling1D()
        layout = [keras.Input((1,), dtype="string"), vectorization, embedding, pooling]
        return keras.Sequential([*layout, layers.Dense(CLASSES)])

    def batches(labels):
        return tf.data.Dataset.from_tensor_slices((words.astype(str), labels)).batch(8)

    teacher = build(1)
    soft = softmax(np.array(teacher(tf.constant(words.astype(str)))))
    students = [build(), build()]
    plain, model = students[0], ban_tf.BornAgainModel(students[1], teacher=teacher, objective="kd")
    plain.compile(sgd(), keras.losses.CategoricalCrossentropy(from_logits=True))
    model.compile(sgd())
    plain.fit(batches(soft), verbose=0)
    model.fit(batches(np.arange(16) % CLASSES), verbose=0)
    assert_equal_weights(students[1], students[0], atol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("policies", [("float32", "mixed_bfloat16"), ("mixed_bfloat16", "float64")])
def test_student_and_teacher_may_have_different_precision(policies):
    x, y = data()
    first, last = policies

    def build():
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [keras.Input((6,)), layers.Dense(8, dtype=first), layers.Dense(CLASSES, dtype=first)]
        )

    keras.utils.set_random_seed(1)
    teacher = keras.Sequential([keras.Input((6,)), layers.Dense(CLASSES, dtype=last)])
    # Plain Keras computes the loss of a bfloat16 model in bfloat16; ours is in float32.
    assert_trains_alike(build, x, y, teacher=teacher, atol=1e-5 if first == "float32" else 2e-2)


@pytest.mark.nightly
def test_teachers_may_come_as_models_paths_a_list_or_recorded_outputs(tmp_path):
    x, y = data()
    models = [network(seed=1), network(seed=2, activation="softmax")]
    for index, model in enumerate(models):
        model.save(tmp_path / f"{index}.keras")
    second = models[1].predict(x, verbose=0)
    mean = (softmax(models[0].predict(x, verbose=0)) + second) / 2
    kinds = {
        "models": (models, y),
        "paths": ([tmp_path / "0.keras", str(tmp_path / "1.keras")], y),
        "mixed": ([models[0], tmp_path / "1.keras"], y),
        "recorded": (ban_tf.RecordedTeacher(), {"labels": y, "teacher_logits": np.log(mean)}),
    }
    students = []
    for teacher, labels in kinds.values():
        students.append(network())
        model = ban_tf.BornAgainModel(students[-1], teacher=teacher, objective="kd")
        model.compile(sgd(), metrics=["accuracy"])
        model.fit(x, labels, batch_size=8, shuffle=False, verbose=0)
    for student in students[1:]:
        assert_equal_weights(student, students[0], atol=1e-6)


def test_a_model_in_training_teaches_by_its_student():
    inner = network(seed=1, activation="softmax")
    wrapped = ban_tf.BornAgainModel(inner)
    model = ban_tf.BornAgainModel(network(), teacher=wrapped, objective="kd")
    assert model.teacher.models == [inner]


def units(seed, count, activation):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), layers.Dense(count, activation=activation)])


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("count", "activation"),
    [(1, "sigmoid"), (1, None), (3, "sigmoid")],
    ids=["sigmoid", "one logit", "several questions"],
)
def test_yes_or_no_models_learn_as_with_soft_labels(count, activation):
    x, y = data()
    y = y % 2 if count == 1 else (y[:, None] > np.arange(3)).astype("int32")
    teacher, plain, student = (units(seed, count, activation) for seed in (1, 0, 0))
    yes = teacher.predict(x, verbose=0)
    yes = yes if activation else np.array(keras.ops.sigmoid(yes))
    arguments = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    plain.compile(sgd(), keras.losses.BinaryCrossentropy(from_logits=activation is None))
    plain.fit(x, yes, **arguments)
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(sgd())
    model.fit(x, y, **arguments)
    assert_equal_weights(student, plain, atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("shape", [(32,), (32, 1), (32, 3)])
@pytest.mark.parametrize("objective", ["kd+labels", "cwtm"])
def test_yes_or_no_models_take_soft_labels(shape, objective):
    x, _ = data()
    y = np.random.default_rng(0).uniform(size=shape).astype("float32")
    teacher, student = (units(seed, shape[-1] if shape[1:] else 1, "sigmoid") for seed in (1, 0))
    yes = student.predict(x, verbose=0)
    losses = -(y.reshape(yes.shape) * np.log(yes) + (1 - y.reshape(yes.shape)) * np.log(1 - yes))
    weights = np.ones_like(losses)
    if objective == "cwtm":
        sure = np.maximum(p := teacher.predict(x, verbose=0), 1 - p)
        weights = sure / sure.mean()
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective=objective)
    model.compile(sgd())
    logs = model.test_on_batch(x, y, return_dict=True)
    np.testing.assert_allclose(logs["label_loss"], losses.mean(), rtol=1e-5)
    if objective == "cwtm":
        np.testing.assert_allclose(logs["teacher_loss"], (weights * losses).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`y` for output .* must be from 0 to 1"):
        model.fit(x, 2 * y, verbose=0)


@pytest.mark.nightly
def test_one_unit_teaches_two_classes():
    x, y = data()
    teacher, student = units(1, 1, "sigmoid"), units(0, 2, "softmax")
    p = teacher.predict(x, verbose=0)
    p = np.concatenate([1 - p, p], axis=-1)
    q = student.predict(x, verbose=0)
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(sgd())
    logs = model.test_on_batch(x, y % 2, return_dict=True)
    np.testing.assert_allclose(
        logs["teacher_loss"], np.mean(np.sum(p * np.log(p / q), axis=-1)), rtol=1e-4
    )


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", ["eager", "arrays", "tf.data"])
def test_the_end_of_a_subclass_or_of_what_follows_a_softmax_is_seen(form):
    x, y = data()
    keras.utils.set_random_seed(0)
    reshaped = [*network(1, activation="softmax").layers, layers.Reshape((CLASSES,))]
    for teacher in (Subclass(activation="softmax"), keras.Sequential(reshaped)):
        p = np.float64(teacher.predict(x, verbose=0))
        q = np.float64(softmax(network().predict(x, verbose=0)))
        expected = np.mean(np.sum(p * np.log(p / q), axis=-1))
        model = ban_tf.BornAgainModel(network(), teacher=teacher, objective="kd")
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=form == "eager")
        batches = (x, y)
        if form == "tf.data":
            batches = (tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x)),)
        found = model.fit(*batches, batch_size=None, verbose=0).history["teacher_loss"][0]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.nightly
def test_a_teacher_that_is_declared_to_give_logits_is_taken_at_its_word():
    x, y = data()
    keras.utils.set_random_seed(0)
    teacher = Subclass(activation="softmax")
    p, q = (softmax(model.predict(x, verbose=0)) for model in (teacher, network()))
    model = ban_tf.BornAgainModel(
        network(), teacher=teacher, teacher_activation="linear", objective="kd"
    )
    model.compile(sgd())
    found = model.test_on_batch(x, y, return_dict=True)["teacher_loss"]
    expected = np.mean(np.sum(p * np.log(p / q), axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
