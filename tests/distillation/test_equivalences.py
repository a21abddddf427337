"""`BornAgainModel`: what `keras.Model` does, and the teacher beside it."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf import objectives

CLASSES = 4


def _network(seed=0, activation=None, regularizer=None, batch_norm=False):
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(8, activation="tanh", kernel_regularizer=regularizer),
    ]
    if batch_norm:
        layers.append(keras.layers.BatchNormalization())
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES, activation=activation)])


def _data(examples=32, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(examples, 6)).astype("float32")
    return x, generator.integers(0, CLASSES, examples)


def _softmax(logits):
    shifted = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _sgd():
    return keras.optimizers.SGD(0.1, momentum=0.9)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("regularizer", [None, keras.regularizers.L2(0.1)])
def test_without_a_teacher_training_is_that_of_the_student_bit_for_bit(regularizer):
    x, y = _data()
    plain, wrapped = _network(regularizer=regularizer), _network(regularizer=regularizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(_sgd(), loss, metrics=["accuracy"])
    born_again = ban_tf.BornAgainModel(wrapped)
    born_again.compile(_sgd(), loss, metrics=["accuracy"])
    arguments = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}
    weights = np.linspace(0, 2, len(y))
    expected = plain.fit(x, y, sample_weight=weights, **arguments).history
    history = born_again.fit(x, y, sample_weight=weights, **arguments).history
    assert history["loss"] == expected["loss"]
    assert history["accuracy"] == expected["accuracy"]
    for ours, theirs in zip(wrapped.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_step_is_the_hand_written_gradient_of_knowledge_distillation():
    x, y = _data()
    teacher = _network(seed=1)
    student = keras.Sequential([keras.Input((6,)), keras.layers.Dense(CLASSES)])
    kernel = student.get_weights()[0].astype("float64")
    p, q = _softmax(teacher.predict(x, verbose=0)), _softmax(np.float64(x) @ kernel)
    expected = kernel - 0.5 * np.float64(x).T @ (q - p) / len(x)
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(keras.optimizers.SGD(0.5))
    model.train_on_batch(x, y)
    np.testing.assert_allclose(student.get_weights()[0], expected, atol=1e-6)


def test_label_and_teacher_terms_add_up_and_are_reported():
    x, y = _data()
    model = ban_tf.BornAgainModel(
        _network(regularizer=keras.regularizers.L2(0.1)),
        teacher=_network(seed=1),
        objective="kd+labels",
        label_weight=0.3,
        teacher_weight=0.7,
        temperature=2.0,
    )
    model.compile(_sgd())
    logs = model.test_on_batch(x, y, return_dict=True)
    penalty = 0.1 * np.sum(np.square(model.student.get_weights()[0]))
    total = 0.3 * logs["label_loss"] + 0.7 * logs["teacher_loss"] + penalty
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)
    student = model.student.predict(x, verbose=0)
    teacher = model.teacher.models[0].predict(x, verbose=0)
    agreement = np.mean(student.argmax(-1) == teacher.argmax(-1))
    np.testing.assert_allclose(logs["teacher_agreement"], agreement, rtol=1e-6)
    p, q = _softmax(teacher / 2), _softmax(student / 2)
    divergence = 4 * np.mean(np.sum(p * np.log(p / q), axis=-1))
    np.testing.assert_allclose(logs["teacher_loss"], divergence, rtol=1e-5)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("objective", ["kd", "cwtm", "dkpp", "kd+labels", "importance", "dist"])
def test_a_sample_of_weight_zero_has_no_influence(objective):
    x, y = _data(16)
    results = []
    for spoilt in (False, True):
        inputs, labels = x.copy(), y.copy()
        if spoilt:
            inputs[8:], labels[8:] = 100.0, 0
        student = _network()
        model = ban_tf.BornAgainModel(student, teacher=_network(seed=1), objective=objective)
        model.compile(_sgd())
        model.train_on_batch(inputs, labels, sample_weight=np.repeat([1.0, 0.0], 8))
        results.append(student.get_weights())
    for clean, spoilt in zip(*results, strict=True):
        np.testing.assert_allclose(clean, spoilt, atol=1e-7)


def test_the_teacher_is_not_touched_and_not_among_the_students_weights():
    x, y = _data()
    teacher = _network(seed=1, batch_norm=True)
    before = teacher.get_weights()
    student = _network(batch_norm=True)
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(_sgd())
    moving_mean = student.layers[1].moving_mean.numpy()
    model.fit(x, y, verbose=0)
    model.teacher = _network(seed=2, batch_norm=True)
    assert len(model.trainable_weights) == len(student.trainable_weights)
    assert not {id(variable) for variable in teacher.variables} & {
        id(variable) for variable in model.variables
    }
    assert len(model.optimizer.variables) == 2 + len(student.trainable_weights)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert teacher.trainable
    assert np.any(student.layers[1].moving_mean.numpy() != moving_mean)


@pytest.mark.nightly
@pytest.mark.parametrize("objective", ["kd", "dkpp", "cwtm"])
def test_models_that_end_in_softmax_train_as_those_that_give_logits(objective):
    x, y = _data()
    weights = []
    for activation in (None, "softmax"):
        student, teacher = _network(0, activation), _network(1, activation)
        model = ban_tf.BornAgainModel(student, teacher=teacher, objective=objective)
        model.compile(_sgd())
        model.fit(x, y, shuffle=False, verbose=0)
        weights.append(student.get_weights())
    for logits, probabilities in zip(*weights, strict=True):
        np.testing.assert_allclose(logits, probabilities, atol=1e-6)


def test_recorded_and_online_teachers_give_the_same_weights():
    x, y = _data()
    teacher = _network(seed=1)
    students = [_network(), _network()]
    online = ban_tf.BornAgainModel(students[0], teacher=teacher, objective="kd")
    recorded = ban_tf.BornAgainModel(students[1], teacher=ban_tf.RecordedTeacher(), objective="kd")
    target = {"labels": y, "teacher_logits": teacher.predict(x, verbose=0)}
    for model, labels in ((online, y), (recorded, target)):
        model.compile(_sgd(), metrics=["accuracy"])
        model.fit(x, labels, epochs=2, batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_several_teachers_count_as_their_mean_distribution():
    x, _ = _data()
    models = [_network(seed=seed) for seed in (1, 2, 3)]
    joint = ban_tf.OnlineTeacher(models).logits(x)["output_0"]
    expected = np.mean([_softmax(model.predict(x, verbose=0)) for model in models], axis=0)
    np.testing.assert_allclose(_softmax(np.array(joint)), expected, atol=1e-6)


@pytest.mark.nightly
def test_permutations_differ_between_steps_and_repeat_with_the_seed():
    x, y = _data()
    losses = []
    for seed in (1, 1, 2):
        model = ban_tf.BornAgainModel(
            _network(), teacher=_network(seed=1), objective="dkpp", seed=seed
        )
        model.compile(keras.optimizers.SGD(0.0))
        losses.append([model.train_on_batch(x, y) for _ in range(2)])
    assert losses[0] == losses[1] != losses[2]
    assert losses[0][0] != losses[0][1]


@pytest.mark.nightly
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_and_a_float32_teacher(policy):
    x, y = _data()
    teacher = _network(seed=1)
    keras.config.set_dtype_policy(policy)
    try:
        student = _network()
    finally:
        keras.config.set_dtype_policy("float32")
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd+labels")
    optimizer = _sgd()
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer)
    history = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert np.all(np.isfinite(history)) and history[-1] < history[0]


@pytest.mark.nightly
def test_the_student_is_saved_as_a_plain_model_and_the_whole_loads_and_trains_on(tmp_path):
    x, y = _data()
    teacher = _network(seed=1)
    model = ban_tf.BornAgainModel(_network(), teacher=teacher, objective="dkpp", temperature=2.0)
    model.compile("sgd", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "whole.keras")
    again = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert isinstance(again.objective, objectives.PermutedDarkKnowledge)
    assert again.objective.temperature == 2.0
    again.teacher = teacher
    again.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_weight": -1.0}, "`label_weight`"),
        ({"teacher_weight": float("nan")}, "`teacher_weight`"),
        ({"student_activation": "tanh"}, "`student_activation`"),
        ({"teacher": 3}, "`teacher`"),
        ({"teacher": []}, "`teacher`"),
        ({"teacher": "nowhere.keras"}, "nowhere.keras"),
        ({"teacher": keras.Sequential([keras.Input((6,)), keras.layers.Dense(9)])}, "9 classes"),
        ({"objective": "kdd"}, "did you mean kd"),
        ({"objective": "cwtm", "temperature": 2.0}, "no temperature"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ban_tf.BornAgainModel(_network(), **arguments)


def test_a_teacher_that_is_the_student_is_refused():
    student = _network()
    with pytest.raises(ValueError, match="shares weights"):
        ban_tf.BornAgainModel(student, teacher=student, objective="kd")


def test_a_lambda_layer_in_a_teacher_file_is_not_run(tmp_path):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda each: each * 2)])
    model.save(tmp_path / "teacher.keras")
    with pytest.raises(ValueError, match="Lambda layer"):
        ban_tf.BornAgainModel(_network(), teacher=str(tmp_path / "teacher.keras"), objective="kd")
