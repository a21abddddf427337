"""Teachers of other classes than the student's, against formulas in float64."""

import keras
import numpy as np
import pytest
from twins import data, network

import ban_tf
from ban_tf.distillation import class_maps, mapped_teacher
from ban_tf.errors import InputError

X, Y = data()


def _student(classes=4, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input((6,)), *layers])


def _softmax(logits):
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _sums(probabilities, targets, classes=4):
    """The probabilities of the student's classes, one class of the teacher after the other."""
    found = np.zeros((len(probabilities), classes))
    for index, target in enumerate(targets):
        if target is not None:
            found[:, target] += probabilities[:, index]
    return found / found.sum(axis=-1, keepdims=True)


def _step(teacher, student, temperature=1.0, **options):
    """The teacher's loss, and the gradient for the logits' bias of a mean over the batch."""
    model = ban_tf.BornAgainModel(student, teacher, "kd", temperature=temperature, **options)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    before = student.get_weights()[-1]
    history = model.fit(X, Y, batch_size=len(X), verbose=0).history
    return history["teacher_loss"][0], before - student.get_weights()[-1]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_several_classes_are_summed_and_others_left_out(temperature):
    targets = [2, 0, 0, None, 3, 1]
    teacher, student = _student(6, seed=1), _student()
    theirs = _softmax(teacher.predict(X, verbose=0))
    q = _softmax(student.predict(X, verbose=0) / temperature)
    p = _softmax(np.log(_sums(theirs, targets)) / temperature)
    loss, gradient = _step(ban_tf.MappedTeacher(teacher, targets), student, temperature)
    np.testing.assert_allclose(
        loss, temperature**2 * np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-5
    )
    np.testing.assert_allclose(gradient, temperature * np.mean(q - p, 0), atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_classes_that_the_teacher_does_not_know_are_left_to_the_labels(temperature):
    targets = [3, None, 0, 0, 1]  # nothing is the student's class 2
    teacher, student = _student(5, seed=1), _student()
    known = [0, 1, 3]
    theirs = _softmax(teacher.predict(X, verbose=0))
    p = np.zeros((len(X), 4))
    p[:, known] = _softmax(np.log(_sums(theirs, targets)[:, known]) / temperature)
    q = _softmax(student.predict(X, verbose=0) / temperature)
    mass = q[:, known].sum(-1, keepdims=True)
    loss, gradient = _step(ban_tf.MappedTeacher(teacher, targets), student, temperature)
    # The objective over the known classes alone, times the student's probability of these.
    own = q[:, known] / mass
    divergence = np.sum(mass * p[:, known] * np.log(p[:, known] / own), -1)
    np.testing.assert_allclose(loss, temperature**2 * np.mean(divergence), rtol=1e-4)
    expected = np.zeros((len(X), 4))
    expected[:, known] = mass * (own - p[:, known])
    np.testing.assert_allclose(gradient, temperature * expected.mean(0), atol=1e-6)
    assert gradient[2] == pytest.approx(0, abs=1e-7)


@pytest.mark.nightly
def test_functions_recordings_and_mixtures_have_maps_too(tmp_path):
    targets = [3, None, 0, 0, 1]
    teacher = _student(5, seed=1)
    ban_tf.record(teacher.predict_on_batch, X, tmp_path / "r", dtype="float32", verbose=False)
    expected = _step(ban_tf.MappedTeacher(teacher, targets), _student())
    given = (teacher.predict_on_batch, ban_tf.RecordedTeacher(tmp_path / "r"))
    for one in given:
        found = _step(ban_tf.MappedTeacher(one, targets), _student())
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    logits = teacher.predict(X, verbose=0)
    labels = {"labels": Y, "teacher_logits": logits}
    student = _student()
    mapped = ban_tf.MappedTeacher(ban_tf.RecordedTeacher(), targets)
    model = ban_tf.BornAgainModel(student, mapped, "kd")
    model.compile("sgd")
    history = model.fit(X, labels, batch_size=len(X), verbose=0, validation_data=(X, Y)).history
    np.testing.assert_allclose(history["teacher_loss"], expected[0], rtol=1e-5)
    # In a mixture, each part must know all classes.
    whole = ban_tf.MappedTeacher(teacher, [2, 0, 0, 1, 3])
    loss, _ = _step([(whole, 1.0), (_student(4, seed=2), 1.0)], _student())
    theirs = _softmax(teacher.predict(X, verbose=0))
    p = _sums(theirs, [2, 0, 0, 1, 3]) / 2
    p += _softmax(_student(4, seed=2).predict(X, verbose=0)) / 2
    q = _softmax(_student().predict(X, verbose=0))
    np.testing.assert_allclose(loss, np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-5)
    mixed = [ban_tf.MappedTeacher(teacher, targets), _student(4, seed=2)]
    with pytest.raises(InputError, match="does not know all classes of the student"):
        _step(mixed, _student())


def test_numpy_and_keras_map_alike():
    logits = np.random.default_rng(0).normal(size=(7, 5)) * 4
    for targets in ([2, 0, 0, 1, 3], [3, None, 0, 0, 1]):
        found = class_maps.mapped(logits, class_maps.of_indices(targets, 4))
        np.testing.assert_allclose(np.exp(found), _sums(_softmax(logits), targets), atol=1e-12)


def test_filled_logits_have_the_students_share_at_the_temperature():
    generator = np.random.default_rng(0)
    own, theirs = generator.normal(size=(2, 6, 4)).astype("float32") * 3
    known = np.array([True, False, True, True])
    for temperature in (None, 2.5):
        partial = mapped_teacher.Partial(keras.ops.convert_to_tensor(theirs), known)
        filled = partial.filled(keras.ops.convert_to_tensor(own), temperature)
        filled = np.float64(keras.ops.convert_to_numpy(filled)) / (temperature or 1)
        share = _softmax(own / (temperature or 1))[:, 1]
        np.testing.assert_allclose(_softmax(filled)[:, 1], share, rtol=1e-5)


def test_names_are_matched():
    theirs, ours = ["tabby", "dog", "siamese", "car"], ["cat", "dog", "bird"]
    assert ban_tf.match_classes(theirs, ours) == [None, 1, None, None]
    renamed = {"tabby": "cat", "siamese": "cat", "dog": None}
    assert ban_tf.match_classes(theirs, ours, renamed) == [0, None, 0, None]
    for wrong, sentence in (({"lion": "cat"}, "'lion'"), ({"car": "boat"}, "'boat'")):
        with pytest.raises(InputError, match=f"{sentence}, which is none of the classes"):
            ban_tf.match_classes(theirs, ours, wrong)


def test_a_file_has_a_row_for_each_class_of_the_teacher(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("teacher,student\ntabby,cat\ndog,\nsiamese,cat\ncar,-\n")
    names, targets = class_maps.read(str(path), ["cat", "dog", "bird"])
    assert (names, targets) == (["tabby", "dog", "siamese", "car"], [0, 1, 0, None])
    for text, sentence in (
        ("teacher,student\ndog,\ndog,cat\n", "names dog twice in the column teacher"),
        ("teacher,student\ndog,boat\n", r"maps to boat, which is none .*\(cat, dog, bird\)"),
        ("class,student\ndog,\n", "must be a table of CSV with the columns teacher and student"),
        ("teacher\n,\n", "has a row without a name"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            class_maps.read(str(path), ["cat", "dog", "bird"])
    with pytest.raises(InputError, match="cannot be read"):
        class_maps.read(str(tmp_path / "none.csv"), ["cat"])


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([0, 1, 2, 3, 4], "maps to class 4, but the student has 4 classes"),
        ([0, None, 0, 0, 0], "maps the teacher to 1 of the student's 4 classes"),
        ([0, 1], "maps 2 classes of the teacher, which has 5"),
    ],
)
def test_maps_that_do_not_fit_are_refused(targets, sentence):
    with pytest.raises(InputError, match=sentence):
        _step(ban_tf.MappedTeacher(_student(5, seed=1), targets), _student())
    with pytest.raises(InputError, match="is None"):
        ban_tf.MappedTeacher(None, targets)
    line = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
    model = ban_tf.BornAgainModel(line, ban_tf.MappedTeacher(network(1), targets), "kd")
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match=r"maps classes, but output .* is values"):
        model.fit(X, np.zeros((len(X), 5)), verbose=0)


@pytest.mark.parametrize("classes", [5, "abc", None, [], {0: 1}, ["cat", 1], [0.5, 1], [True, 1]])
def test_maps_that_are_no_classes_are_refused_at_once(classes):
    with pytest.raises(InputError, match="`classes` must"):
        ban_tf.MappedTeacher(_student(5, seed=1), classes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abc", ["a"]), "`theirs` must be a list of names"),
        ((["a"], None), "`ours` must be a list of names"),
        ((["a", "a"], ["a"]), "`theirs` names the class 'a' twice"),
        ((["a"], ["a"], ["a"]), "`renamed` must be a dictionary"),
    ],
)
def test_names_that_are_none_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ban_tf.match_classes(*arguments)
