"""`ban_tf.record` in a process without TensorFlow, and students that learn from its files."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import data, network, softmax

import ban_tf
from ban_tf.distillation import example_keys
from ban_tf.distillation.recorded_outputs import RecordedOutputs
from ban_tf.errors import InputError

# A booster teaches digits, in a process in which nothing can import Keras or TensorFlow.
_BOOSTER = """
import sys
class Hidden:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("keras", "tensorflow"):
            raise ImportError(f"{name} is hidden")
sys.meta_path.insert(0, Hidden())
import numpy as np
import ban_tf
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
bundle = load_digits()
images = np.round(bundle.images * (255 / 16)).astype("uint8")
x, y = images.reshape(len(images), -1), bundle.target
booster = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=8, random_state=0).fit(x, y)
ban_tf.record(booster.predict_proba, x, sys.argv[1], class_names=bundle.target_names, top=3)
ban_tf.record(booster.predict_proba, x, sys.argv[2], class_names=bundle.target_names)
np.save(sys.argv[3], booster.predict_proba(x))
np.save(sys.argv[4], images)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("booster")
    names = ("top", "all", "probabilities.npy", "images.npy")
    done = subprocess.run(
        [sys.executable, "-c", _BOOSTER, *(str(folder / name) for name in names)],
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads that wait for others use processors
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_booster_is_recorded_without_tensorflow(recorded):
    folder, printed = recorded
    assert len(RecordedOutputs(folder / "all").manifest.teacher_hash) == 64
    # 1,797 rows of 3 + 1 values and 3 classes, 2 bytes each, and keys of 8.
    assert f"Recording 1,797 examples in 1 view, 39.5 kB in {folder / 'top'}." in printed
    wanted, images = np.load(folder / "probabilities.npy"), np.load(folder / "images.npy")
    recording = RecordedOutputs(folder / "all")
    assert recording.manifest.class_names == [str(digit) for digit in range(10)]
    order = np.random.default_rng(0).permutation(len(images))
    places = recording.find(example_keys.of_examples(images[order][..., np.newaxis]))
    np.testing.assert_allclose(softmax(recording.outputs(places)), wanted[order], atol=1e-3)
    top = softmax(RecordedOutputs(folder / "top").outputs(places))
    np.testing.assert_allclose(np.sort(top)[:, -3:], np.sort(wanted[order])[:, -3:], atol=2e-3)


@pytest.mark.nightly
def test_a_student_of_the_booster_learns_from_all_kinds_of_data(recorded):
    folder, _ = recorded
    images = np.load(folder / "images.npy").astype("float32")[:400, ..., np.newaxis]
    wanted = np.load(folder / "probabilities.npy")[:400]

    def student():
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((8, 8, 1)), *layers])

    plain = student()
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(0.5), loss)
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    plain.fit(images, wanted, batch_size=40, **options)
    labels = np.zeros(400, "int32")
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(40)
    teacher = ban_tf.RecordedTeacher(folder / "all")
    for given in ((images.astype("uint8"), labels), (batches,)):
        model = ban_tf.BornAgainModel(student(), teacher, "kd")
        model.compile(keras.optimizers.SGD(0.5))
        size = {"batch_size": 40} if len(given) == 2 else {}
        # What validates is not recorded.
        model.fit(*given, **size, **options, validation_data=(images[:9] + 1, labels[:9]))
        for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_examples_that_are_not_recorded_are_refused(recorded):
    folder, _ = recorded
    images = np.load(folder / "images.npy")[:60, ..., np.newaxis].astype("float32")
    labels = np.zeros(60, "int32")
    network = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model = ban_tf.BornAgainModel(network, ban_tf.RecordedTeacher(folder / "all"))
    model.compile("sgd")
    before = network.get_weights()
    with pytest.raises(InputError, match=r"`x` holds 60 of 60 examples that .* does not have"):
        model.fit(images / 255, labels, verbose=0)
    images[3] += 1
    with pytest.raises(InputError, match="`x` holds 1 of 60 examples"):
        model.fit(images, labels, verbose=0)
    with pytest.raises(InputError, match="A batch holds 1 of 30 examples"):
        model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(30), verbose=0)
    np.testing.assert_array_equal(before[0], network.get_weights()[0])
    small = keras.Sequential([keras.Input((8, 8, 1)), *network.layers[:1], keras.layers.Dense(4)])
    model = ban_tf.BornAgainModel(small, ban_tf.RecordedTeacher(folder / "all"))
    model.compile("sgd")
    with pytest.raises(InputError, match="`teacher` has 10 classes, but the student has 4"):
        model.fit(np.load(folder / "images.npy")[:60, ..., np.newaxis], labels, verbose=0)


class Teacher:
    """A linear teacher that counts its calls, and may be killed."""

    def __init__(self, seed=1, calls=10**9, outputs=4):
        self.kernel = np.random.default_rng(seed).normal(size=(6, outputs))
        self.calls, self.left = [], calls

    def __call__(self, batch):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.calls.append(len(batch))
        return batch @ self.kernel

    def __reduce__(self):
        raise TypeError("as many a network of another framework")


def test_a_killed_recording_continues_and_a_whole_one_stays(tmp_path):
    x, _ = data(50)
    options = {"batch_size": 10, "verbose": False}
    with pytest.raises(KeyboardInterrupt):
        ban_tf.record(Teacher(calls=4), x, tmp_path / "r", **options)
    with pytest.raises(InputError, match="is an incomplete recording"):
        ban_tf.RecordedTeacher(tmp_path / "r")
    for other, changed in (
        ({"x": x[::-1]}, "keys_hash"),
        ({"x": x[:49]}, "examples"),
        ({"top": 2}, "top"),
        ({"class_names": "abcd"}, "class_names"),
        ({"augmentation": {"policy": "crop"}}, "augmentation"),
        ({"teacher": Teacher(2)}, "returned other numbers"),
    ):
        given = {"teacher": Teacher(), "x": x, **options, **other}
        with pytest.raises(InputError, match=changed):
            ban_tf.record(given.pop("teacher"), given.pop("x"), tmp_path / "r", **given)
    with pytest.raises(InputError, match="another `identity`"):
        ban_tf.record(Teacher(), x, tmp_path / "r", identity="v2", **options)
    resumed = Teacher()
    ban_tf.record(resumed, x, tmp_path / "r", **options)
    assert resumed.calls == [8, 10, 10]  # a look at the first ones, and what was missing
    again = Teacher()
    ban_tf.record(again, x, tmp_path / "r", **options)
    assert again.calls == [8]
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "keys.npy").write_bytes(b"stopped before there was a manifest")
    ban_tf.record(Teacher(), x, tmp_path / "early", **options)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("nothing is written beside it")
    with pytest.raises(InputError, match="is no recording"):
        ban_tf.record(Teacher(), x, tmp_path / "mine", **options)
    found = ban_tf.RecordedTeacher(tmp_path / "r").recorded.outputs(np.arange(50))
    np.testing.assert_allclose(found, x @ resumed.kernel, rtol=2**-10, atol=1e-6)


def test_a_path_may_begin_with_what_a_flag_calls_recordings(tmp_path):
    x = np.eye(4, dtype="float32")
    folder = ban_tf.record(lambda batch: batch, x, f"recording:{tmp_path / 'eye'}", verbose=False)
    assert folder == tmp_path / "eye" and ban_tf.RecordedTeacher(f"recording:{folder}")


def test_views_of_examples_are_all_found(tmp_path):
    x, _ = data(20)
    views = [x, x + 1, x - 2]
    teacher = Teacher()
    ban_tf.record(teacher, views.__getitem__, tmp_path / "r", views=3, verbose=False)
    recording = RecordedOutputs(tmp_path / "r")
    mixed = np.concatenate([views[2][5:], views[0][:3]])
    found = recording.outputs(recording.find(example_keys.of_examples(mixed)))
    np.testing.assert_allclose(found, mixed @ teacher.kernel, rtol=2**-10, atol=2e-3)
    # One key for all views is for runs of the command line.
    ban_tf.record(teacher, views.__getitem__, tmp_path / "k", views=3, keys=x, verbose=False)
    with pytest.raises(InputError, match="has 3 views of each example under one key"):
        ban_tf.RecordedTeacher(tmp_path / "k")


def test_an_example_may_be_there_twice_under_one_name(tmp_path):
    x = data(12)[0]
    names = [f"{number}.png" for number in range(12)] + ["3.png"]
    twice = np.concatenate([x, x[3:4]])
    path = ban_tf.record(Teacher(), twice, tmp_path / "r", keys=names, verbose=False)
    assert RecordedOutputs(path).manifest.examples == 13


def test_other_keys_values_and_float32(tmp_path):
    x, _ = data(20)
    larger = x * 3
    ban_tf.record(Teacher(), larger, tmp_path / "k", keys=x, dtype="float32", verbose=False)
    student = network()
    model = ban_tf.BornAgainModel(student, ban_tf.RecordedTeacher(tmp_path / "k"), "kd")
    model.compile(keras.optimizers.SGD(0.0))
    loss = model.fit(x, np.zeros(20), batch_size=20, verbose=0).history["teacher_loss"]
    p, q = softmax(larger @ Teacher().kernel), softmax(student.predict(x, verbose=0))
    np.testing.assert_allclose(loss, np.mean(np.sum(p * np.log(p / q), -1)), rtol=1e-4)
    names = [f"{number}.png" for number in range(20)]
    ban_tf.record(Teacher(), larger, tmp_path / "n", keys=names, verbose=False)
    found = RecordedOutputs(tmp_path / "n").find(example_keys.of_names(["7.png", "none.png"]))
    np.testing.assert_array_equal(found, [7, -1])
    ban_tf.record(
        Teacher(outputs=1), x, tmp_path / "v", outputs="values", batch_size=7, verbose=False
    )
    with pytest.raises(InputError, match=r"has values, but output .* is categorical"):
        wrong = ban_tf.BornAgainModel(network(), ban_tf.RecordedTeacher(tmp_path / "v"))
        wrong.compile("sgd")
        wrong.fit(x, np.zeros(20), verbose=0)
    line = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model = ban_tf.BornAgainModel(line, ban_tf.RecordedTeacher(tmp_path / "v"), "kd")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    loss = model.fit(x, np.zeros(20), batch_size=20, verbose=0).history["teacher_loss"]
    error = (x @ Teacher(outputs=1).kernel - line.predict(x, verbose=0)) ** 2
    np.testing.assert_allclose(loss, error.mean(), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_integers_that_float32_rounds_are_examples_of_their_own(tmp_path, dtype):
    users = (2**24 + np.arange(8)).astype(dtype)[:, np.newaxis]
    outputs = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    ban_tf.record(
        lambda batch: outputs[batch[:, 0].astype("int64") - 2**24],
        users,
        tmp_path / "users",
        outputs="logits",
        dtype="float32",
        verbose=False,
    )
    recording = RecordedOutputs(tmp_path / "users")
    places = recording.find(example_keys.of_examples(users.astype("int64")))
    np.testing.assert_array_equal(recording.outputs(places), outputs)
    assert recording.find(example_keys.of_examples(users + 8)).tolist() == [-1] * 8


def test_integers_that_float32_holds_are_the_examples_of_equal_floats():
    numbers = np.array([[-(2**24), 7], [2**62, 0], [2**24 + 2, -1]])
    keys = example_keys.of_examples(numbers)
    np.testing.assert_array_equal(example_keys.of_examples(numbers.astype("float32")), keys)
    largest = np.array([[2**63 - 1], [2**63 - 2], [-(2**63)]])
    assert len(set(example_keys.of_examples(largest))) == 3


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (lambda x: x[:, :1], {}, "not clear whether they are logits or probabilities"),
        (lambda x: np.full((len(x), 4), 0.3), {}, "not clear whether"),
        (lambda x: np.full((len(x), 4), 0.3), {"outputs": "probabilities"}, "no probabilities"),
        (lambda x: np.full((len(x), 4), np.nan), {}, "not finite"),
        (lambda x: x[:3], {}, r"must return numbers of shape \[batch, classes\]"),
        (lambda x: x, {"class_names": ["a"]}, "`class_names` has 1 names"),
        (lambda x: x, {"top": 6}, "`top` must be fewer than the 6 classes"),
        (lambda x: x, {"dtype": "int8"}, "`dtype` must be"),
        (lambda x: x, {"views": 2}, "`data` must be a function"),
        (lambda x: x, {"keys": ["a"]}, "`keys` has 1 entries, but `data` has 12 examples"),
        (lambda x: x, {"keys": 3}, "`keys` must be arrays"),
        (lambda x: x, {"augmentation": "crop"}, "`augmentation` must be a dictionary with a 'poli"),
        (lambda x: x, {"augmentation": {"policy": "a", "b": object()}}, "`augmentation` must be"),
        (lambda x: x, {"class_names": "abcdef"}, "`class_names` must be a list of names"),
        (lambda x: x, {"class_names": [*"abcdea"]}, "`class_names` names the class 'a' twice"),
        (lambda x: x, {"keys": [*range(11), 3]}, "`keys` are the same for the examples 3 and 11"),
        (lambda x: x, {"identity": 3}, "`identity` must be a text"),
        (lambda x: x, {"data": lambda: 0}, "`data` must be a function of the number of a view"),
        (lambda x: x, {"path": 3}, "`path` must be the folder"),
        (lambda x: x, {"outputs": "odds"}, "`outputs` must be one of"),
        ("model.keras", {}, "`teacher` must be a function"),
    ],
)
def test_what_cannot_be_recorded_is_refused(function, options, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        given = {"data": data(12)[0], "path": tmp_path / "r", "verbose": False, **options}
        ban_tf.record(function, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("view-00000.npy", lambda content: content[:-1] + b"\0", "has changed since"),
        ("keys.npy", lambda content: content[:-1] + b"\1", "keys.npy does not fit"),
        ("keys.npy", lambda content: b"", "cannot be read"),
        ("manifest.json", lambda content: b"{", "is not a JSON file"),
        ("manifest.json", lambda content: content.replace(b'"classes": 4', b'"classes": 0'), "at"),
        ("manifest.json", lambda content: content.replace(b'"examples": 12', b'"examples": 9'), ""),
        ("manifest.json", lambda content: content.replace(b'ion": 1', b'ion": 2'), "version 2"),
    ],
)
def test_a_damaged_recording_is_refused(name, change, sentence, tmp_path):
    ban_tf.record(Teacher(), data(12)[0], tmp_path / "r", verbose=False)
    path = tmp_path / "r" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=sentence):
        ban_tf.RecordedTeacher(tmp_path / "r")
    with pytest.raises(InputError, match="is no recording"):
        ban_tf.RecordedTeacher(tmp_path)


@pytest.mark.nightly
def test_a_saved_student_finds_its_recording(tmp_path):
    x, y = data(12)
    ban_tf.record(Teacher(), x, tmp_path / "r", verbose=False)
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["complete"] is True
    model = ban_tf.BornAgainModel(network(), f"recording:{tmp_path / 'r'}")
    model.compile("sgd")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    again.fit(x, y, verbose=0)
    (tmp_path / "r").rename(tmp_path / "away")
    again = keras.models.load_model(tmp_path / "student.keras")
    with pytest.raises(InputError, match=r"saved without its teacher, which was recording:.*r"):
        again.fit(x, y, verbose=0)
