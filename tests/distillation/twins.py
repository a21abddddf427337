"""Two trainings that must come out alike: plain Keras, and a student with a teacher.

The gradient of knowledge distillation is that of the cross-entropy to the teacher's
distribution as soft labels. So whatever `fit` can do, a plain model that is given the soft
labels must end with the very weights of a student that is given the teacher.
"""

import keras
import numpy as np

import ban_tf

CLASSES = 4


def network(seed=0, **last):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(CLASSES, **last),
        ]
    )


def data(examples=32, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(examples, 6)).astype("float32")
    return x, generator.integers(0, CLASSES, examples)


def sgd(**options):
    return keras.optimizers.SGD(0.1, momentum=0.9, **options)


def softmax(logits):
    shifted = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype("float32")


def assert_equal_weights(ours, theirs, atol=1e-5):
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def assert_trains_alike(
    build,
    x,
    y,
    fit=None,
    compile=None,
    optimizer=sgd,
    teacher=None,
    arrange=lambda x, y, weights: {"x": x, "y": y, "sample_weight": weights},
    sample_weight=None,
    atol=1e-5,
):
    """Trains both, and compares the weights; returns their histories, the plain one first.

    Args:
        build: Makes a fresh student that gives logits, the same each time.
        x: Inputs, arrays.
        y: Labels for the student.
        fit: Arguments of `fit`; a function is called for each training.
        compile: Arguments of `compile`, likewise.
        optimizer: Makes a fresh optimizer.
        teacher: The teacher.
        arrange: Turns (x, y, sample_weight) into the data arguments of `fit`.
        sample_weight: As for `fit`.
        atol: How far weights may be apart.
    """
    teacher = network(seed=1) if teacher is None else teacher
    soft = softmax(np.asarray(teacher(x, training=False)))
    histories, students = [], []
    for plain in (True, False):
        student = build()
        loss = keras.losses.CategoricalCrossentropy(from_logits=True) if plain else None
        model = (
            student if plain else ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
        )
        before = [np.array(weight) for weight in student.get_weights()]
        model.compile(optimizer(), loss, **_fresh(compile))
        options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0, **_fresh(fit)}
        arranged = arrange(x, soft if plain else y, sample_weight)
        if not isinstance(arranged["x"], (np.ndarray, dict, list)):
            options.pop("batch_size")
        histories.append(model.fit(**arranged, **options).history)
        students.append(student)
        after = student.get_weights()
        assert not before or any(np.any(old != new) for old, new in zip(before, after, strict=True))
    assert_equal_weights(students[1], students[0], atol)
    return histories


def as_one_hot(x, y, weights):
    """Data arguments in which both trainings have labels of one form."""
    return {"x": x, "y": y if y.ndim == 2 else np.eye(CLASSES)[y], "sample_weight": weights}


def _fresh(arguments):
    return (arguments() if callable(arguments) else arguments) or {}
