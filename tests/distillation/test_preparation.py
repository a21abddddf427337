"""Models that prepare their own input, as students, teachers and members of ensembles.

The expected values are computed with NumPy from weights and from the preparation of each model.
"""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from keras import layers

import ban_tf
from ban_tf.compat import fingerprint, preparation
from ban_tf.distillation.ensemble import ensemble

RNG = np.random.default_rng(0)
RAW = RNG.integers(0, 255, (24, 4)).astype("uint8")
LABELS = RNG.integers(0, 3, 24)
SCE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Task(keras.Model):
    """What KerasHub's tasks are: a graph, and a preprocessor in front of `fit` and `predict`."""

    def __init__(self, preprocessor=None, **options):
        inputs = keras.Input((4,))
        super().__init__(inputs, layers.Dense(3)(inputs), **options)
        self.preprocessor = preprocessor

    def preprocess_samples(self, x, y=None, sample_weight=None):
        return keras.utils.pack_x_y_sample_weight(self.preprocessor(x), y, sample_weight)

    def fit(self, x=None, y=None, **options):
        return super().fit(self.preprocessor(x), y, **options)

    def predict(self, x, **options):
        return super().predict(x if self.preprocessor is None else self.preprocessor(x), **options)

    def get_config(self):
        return {"preprocessor": keras.saving.serialize_keras_object(self.preprocessor)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["preprocessor"]))


class Labelling(keras.layers.Layer):
    """Makes labels of the input."""

    def call(self, x, y=None, sample_weight=None):
        return x, x[:, 0], None


class Deriving(Task):
    """A task whose labels are made from its input."""

    def preprocess_samples(self, x, y=None, sample_weight=None):
        return self.preprocessor(x)


def _task(scale=1 / 255, seed=0):
    keras.utils.set_random_seed(seed)
    return Task(layers.Rescaling(scale))


def _plain(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def _log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _logits(model, scale):
    kernel, bias = (np.float64(weight) for weight in model.get_weights())
    return np.float64(RAW) * scale @ kernel + bias


def _divergence(teacher, student):
    theirs, ours = _log_softmax(teacher), _log_softmax(student)
    return (np.exp(theirs) * (theirs - ours)).sum(-1)


def _dataset(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(8)


class Batches(keras.utils.PyDataset):
    """Batches of 8."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return RAW[rows], LABELS[rows]


def _generator():
    while True:
        for index in range(3):
            yield Batches()[index]


FORMS = {
    "arrays": lambda: ((RAW, LABELS), {"batch_size": 8}),
    "lists": lambda: ((RAW.tolist(), LABELS.tolist()), {"batch_size": 8}),
    "tf.data": lambda: ((_dataset(RAW, LABELS),), {}),
    "PyDataset": lambda: ((Batches(),), {}),
    "generator": lambda: ((_generator(),), {"steps": 3}),
}


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("student", "teacher", "scales"),
    [
        (_task(seed=1), _task(seed=2), (1 / 255, 1 / 255)),
        (_task(seed=1), _task(1 / 100, seed=2), (1 / 255, 1 / 100)),
        (_task(seed=1), _plain(seed=2), (1 / 255, 1.0)),
        (_plain(seed=1), _task(seed=2), (1.0, 1 / 255)),
    ],
    ids=["alike", "other scale", "plain teacher", "plain student"],
)
def test_each_model_is_called_on_what_it_prepares(form, student, teacher, scales):
    model = ban_tf.BornAgainModel(student, teacher, "kd")
    eager = scales != (1 / 255, 1 / 100)
    model.compile(keras.optimizers.SGD(0.0), SCE, metrics=["accuracy"], run_eagerly=eager)
    expected = _divergence(_logits(teacher, scales[1]), _logits(student, scales[0])).mean()
    given, options = FORMS[form]()
    results = model.evaluate(*given, **options, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["teacher_loss"], expected, rtol=1e-4)
    correct = (_logits(student, scales[0]).argmax(-1) == LABELS).mean()
    np.testing.assert_allclose(results["accuracy"], correct, atol=1e-6)
    given, options = FORMS[form]()
    options["steps_per_epoch"] = options.pop("steps", None)
    history = model.fit(*given, **options, verbose=0).history
    np.testing.assert_allclose(history["teacher_loss"][-1], expected, rtol=1e-4)


@pytest.mark.nightly
def test_validation_data_and_single_batches_are_prepared_too():
    student, teacher = _task(seed=1), _task(1 / 100, seed=2)
    model = ban_tf.BornAgainModel(student, teacher, "kd+labels")
    model.compile(keras.optimizers.SGD(0.0), SCE)
    losses = _divergence(_logits(teacher, 1 / 100), _logits(student, 1 / 255))
    options = {"verbose": 0, "batch_size": 24}
    split = model.fit(RAW, LABELS, validation_split=0.25, **options).history
    np.testing.assert_allclose(split["teacher_loss"][0], losses[:18].mean(), rtol=1e-4)
    np.testing.assert_allclose(split["val_teacher_loss"][0], losses[18:].mean(), rtol=1e-4)
    for validation in ((RAW[:5], LABELS[:5]), _dataset(RAW[:5], LABELS[:5])):
        found = model.fit(RAW, LABELS, validation_data=validation, **options).history
        np.testing.assert_allclose(found["val_teacher_loss"][0], losses[:5].mean(), rtol=1e-4)
    for run in (model.train_on_batch, model.test_on_batch):
        model.reset_metrics()
        found = run(RAW[:7], LABELS[:7], return_dict=True)
        np.testing.assert_allclose(found["teacher_loss"], losses[:7].mean(), rtol=1e-4)
    expected = _logits(student, 1 / 255)
    np.testing.assert_allclose(model.predict_on_batch(RAW), expected, atol=1e-4)
    np.testing.assert_allclose(model.predict(RAW, verbose=0), expected, atol=1e-4)


@pytest.mark.nightly
def test_sample_weights_reach_prepared_batches():
    student, teacher = _task(seed=1), _task(1 / 100, seed=2)
    model = ban_tf.BornAgainModel(student, teacher, "kd")
    model.compile(keras.optimizers.SGD(0.0), SCE, run_eagerly=True)
    weights = RNG.uniform(0, 2, 24)
    losses = _divergence(_logits(teacher, 1 / 100), _logits(student, 1 / 255))
    found = model.evaluate(
        RAW, LABELS, sample_weight=weights, batch_size=24, verbose=0, return_dict=True
    )
    np.testing.assert_allclose(found["teacher_loss"], (weights * losses).mean(), rtol=1e-4)


def test_several_teachers_have_their_own_input_each():
    student = _task(seed=1)
    several = [_task(seed=2), _task(1 / 100, seed=3), _plain(seed=4)]
    model = ban_tf.BornAgainModel(student, several, "kd")
    model.compile(keras.optimizers.SGD(0.0), SCE, run_eagerly=True)
    pairs = zip(several, (1 / 255, 1 / 100, 1.0), strict=True)
    mean = np.mean([np.exp(_log_softmax(_logits(pair, scale))) for pair, scale in pairs], axis=0)
    expected = _divergence(np.log(mean + 1e-300), _logits(student, 1 / 255)).mean()
    found = model.evaluate(RAW, LABELS, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["teacher_loss"], expected, rtol=1e-4)


def test_a_preprocessor_that_is_off_prepares_nothing():
    student = _task(seed=1)
    student.preprocessor = None
    model = ban_tf.BornAgainModel(student)
    np.testing.assert_allclose(model.predict(RAW, verbose=0), _logits(student, 1.0), rtol=1e-4)
    assert preparation.of(student) is None


def test_what_cannot_be_combined_is_refused():
    student = _task(seed=1)
    model = ban_tf.BornAgainModel(student, Deriving(Labelling()), "kd")
    model.compile("sgd", SCE)
    with pytest.raises(ValueError, match="preprocessor of `teacher` creates labels"):
        model.train_on_batch(RAW, LABELS)
    other = ban_tf.BornAgainModel(student, _task(1 / 100), "kd+labels")
    other.compile("sgd", SCE)
    with pytest.raises(ValueError, match="`class_weight`"):
        other.fit(RAW, LABELS, class_weight={0: 2.0, 1: 1.0, 2: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="`x` must be arrays"):
        other.fit(object(), LABELS, verbose=0)
    with pytest.raises(ValueError, match="prepare their inputs differently"):
        ensemble([student, _task(1 / 100)], loss=SCE)


def test_a_recording_of_a_model_belongs_to_its_preprocessor():
    first, other = _task(), _task(1 / 100)
    assert fingerprint.of_model(first) == fingerprint.of_model(_task())
    assert fingerprint.of_model(first) != fingerprint.of_model(other)


@pytest.mark.nightly
@pytest.mark.parametrize("build", [lambda: Task(layers.Rescaling(1 / 255)), _task()])
def test_a_lineage_and_its_ensemble_prepare_their_input(build):
    lineage = ban_tf.Lineage(build, 1, objective="kd+labels")
    settings = {"optimizer": keras.optimizers.SGD(0.1), "loss": SCE, "run_eagerly": True}
    lineage.fit(RAW, LABELS, epochs=2, verbose=0, compile=settings)
    members = [lineage.model(number) for number in (0, 1)]
    probabilities = [np.exp(_log_softmax(_logits(member, 1 / 255))) for member in members]
    for model, expected in zip(members, probabilities, strict=True):
        logits = model.predict(RAW, verbose=0)
        np.testing.assert_allclose(np.exp(_log_softmax(logits)), expected, atol=1e-5)
    mean = lineage.ensemble([0, 1])
    np.testing.assert_allclose(
        mean.predict(RAW, verbose=0), np.mean(probabilities, axis=0), atol=1e-5
    )
    student = ban_tf.BornAgainModel(_task(seed=5), mean, "kd")
    student.compile(keras.optimizers.SGD(0.0), SCE, run_eagerly=True)
    found = student.evaluate(RAW, LABELS, verbose=0, return_dict=True)["teacher_loss"]
    ours = _logits(student.student, 1 / 255)
    expected = _divergence(np.log(np.mean(probabilities, axis=0)), ours).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.nightly
def test_an_ensemble_keeps_its_preprocessor_in_its_file(tmp_path):
    mean = ensemble([_task(seed=1), _task(seed=2)], loss=SCE)
    mean.save(tmp_path / "ensemble.keras")
    np.save(tmp_path / "raw.npy", RAW)
    script = (
        "import ban_tf, keras, numpy as np\n"
        "model = keras.models.load_model('ensemble.keras')\n"
        "np.save('outputs.npy', model.predict(np.load('raw.npy'), verbose=0))\n"
    )
    warm.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    expected = mean.predict(RAW, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, atol=1e-6)


def _hub_task(seed, scale=1 / 127.5):
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(seed)
    backbone = hub.models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    convert = hub.layers.ViTImageConverter(image_size=(16, 16), scale=scale, offset=-1.0)
    return hub.models.ViTImageClassifier(
        backbone=backbone,
        num_classes=3,
        preprocessor=hub.models.ViTImageClassifierPreprocessor(convert),
    )


@pytest.mark.nightly
def test_keras_hub_classifiers_teach_and_learn_as_they_predict():
    student, teacher = _hub_task(1), _hub_task(2, scale=1 / 100)
    images = RNG.integers(0, 255, (12, 20, 24, 3)).astype("uint8")  # which are resized, too
    theirs, ours = (np.float64(model.predict(images, verbose=0)) for model in (teacher, student))
    model = ban_tf.BornAgainModel(student, teacher, "kd")
    model.compile(keras.optimizers.SGD(0.0), SCE)
    found = model.evaluate(images, LABELS[:12], batch_size=12, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["teacher_loss"], _divergence(theirs, ours).mean(), rtol=1e-3)
    np.testing.assert_allclose(model.predict(images, verbose=0), ours, atol=1e-5)
    history = model.fit(images, LABELS[:12], verbose=0).history
    np.testing.assert_allclose(
        history["teacher_loss"][0], _divergence(theirs, ours).mean(), rtol=1e-3
    )


@pytest.mark.nightly
def test_a_lineage_of_keras_hub_classifiers_has_an_ensemble_for_raw_images():
    task = _hub_task(0)
    images = RNG.integers(0, 255, (12, 20, 24, 3)).astype("uint8")
    lineage = ban_tf.Lineage(task, 1, objective="kd+labels")
    settings = {"optimizer": keras.optimizers.SGD(0.1), "loss": SCE}
    lineage.fit(images, LABELS[:12], verbose=0, compile=settings)
    members = [lineage.model(number).predict(images, verbose=0) for number in (0, 1)]
    expected = np.mean([np.exp(_log_softmax(np.float64(member))) for member in members], axis=0)
    found = lineage.ensemble([0, 1]).predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
