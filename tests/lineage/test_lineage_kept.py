"""The table describes the weights that are kept, whatever exchanges weights while training."""

import keras
import numpy as np
import pytest
import tiny_lineage

import ban_tf
from ban_tf.runs import generations
from ban_tf.system import signals

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 8)).astype("float32")
Y = X[:, :3].argmax(-1)
TRAIN, VALIDATION = (X[:48], Y[:48]), (X[48:], Y[48:])


def build():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, "relu"),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )


def measured(model, x, y):
    """Accuracy and mean cross-entropy of a model that gives logits, in float64."""
    logits = np.asarray(model(x, training=False), "float64")
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.mean(logits.argmax(-1) == y), -np.mean(log_probabilities[np.arange(len(y)), y])


def assert_describes(row, model, x=VALIDATION[0], y=VALIDATION[1]):
    accuracy, loss = measured(model, x, y)
    np.testing.assert_allclose(row["val_accuracy"], accuracy, atol=1e-6)
    np.testing.assert_allclose(row["val_loss"], loss, rtol=1e-4, atol=1e-5)


class Replace(keras.callbacks.Callback):
    """Puts other weights into the model at the end of training."""

    def on_train_end(self, logs=None):
        self.model.student.set_weights(
            [0.9 * weight for weight in self.model.student.get_weights()]
        )


class Remember(keras.callbacks.Callback):
    """Brings back the weights of the second epoch at the end of training."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.weights = self.model.student.get_weights()

    def on_train_end(self, logs=None):
        self.model.student.set_weights(self.weights)


def average(**options):
    return lambda: keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.9, **options)


SCENARIOS = {
    "plain": (lambda: keras.optimizers.Adam(3e-2), lambda: []),
    "swapped for validation": (average(), lambda: [keras.callbacks.SwapEMAWeights()]),
    "average at the end": (average(), lambda: []),
    "overwritten every few steps": (average(ema_overwrite_frequency=4), lambda: []),
    "early stopping": (
        lambda: keras.optimizers.Adam(5e-2),
        lambda: [
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
        ],
    ),
    "replaced at the end": (lambda: keras.optimizers.Adam(3e-2), lambda: [Replace()]),
    "an epoch remembered": (lambda: keras.optimizers.Adam(3e-2), lambda: [Remember()]),
}


def fit(lineage, scenario, epochs=12, **changes):
    optimizer, callbacks = SCENARIOS[scenario]
    arguments = {
        "validation_data": VALIDATION,
        "batch_size": 8,
        "shuffle": False,
        "compile": {"optimizer": optimizer, "metrics": ["accuracy"]},
        "callbacks": lambda generation: callbacks(),
    }
    return lineage.fit(*TRAIN, epochs=epochs, verbose=0, **{**arguments, **changes})


@pytest.mark.nightly
@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_table_describes_the_kept_weights(scenario, keep, tmp_path):
    tables = []
    numbers = (0, 1) if scenario in ("plain", "average at the end") else (0,)
    epochs = 12 if scenario == "early stopping" else 5
    in_memory = [None] if scenario == "average at the end" else []
    for directory in (*in_memory, tmp_path, tmp_path):  # in memory, written, and read again
        lineage = ban_tf.Lineage(build, numbers[-1], keep=keep, directory=directory)
        fit(lineage, scenario, epochs)
        for number in numbers:
            accuracy, _ = measured(lineage.model(number), *VALIDATION)
            row = lineage.table()[number]
            np.testing.assert_allclose(row["val_accuracy"], accuracy, atol=1e-6)
        assert_describes(lineage.table()[0], lineage.model(0))
        tables.append([{**row, "seconds": 0} for row in lineage.table()])
        if directory:
            lineage.directory.close()
    assert all(table == tables[0] for table in tables)


@pytest.mark.nightly
def test_an_early_stopped_generation_has_the_row_of_its_best_epoch(tmp_path):
    lineage = fit(ban_tf.Lineage(build, 0, directory=tmp_path), "early stopping", epochs=40)
    history = lineage.generations[0].history
    best = min(history, key=lambda row: row["val_loss"])
    assert best["epoch"] < history[-1]["epoch"] < 40
    expected = {name: value for name, value in best.items() if name != "epoch"}
    assert {name: lineage.table()[0][name] for name in expected} == expected


@pytest.mark.nightly
def test_collapse_is_judged_by_the_kept_weights():
    class Blank(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            student = self.model.student
            student.set_weights([np.zeros_like(weight) for weight in student.get_weights()])

    share = float(np.mean(VALIDATION[1] == 0))  # equal logits count as class 0
    plain, blank = (ban_tf.Lineage(build, 0, chance=share + 0.01) for _ in range(2))
    fit(plain, "plain")
    fit(blank, "plain", callbacks=lambda generation: [Blank()])
    assert not plain.generations[0].collapsed
    assert blank.generations[0].history == plain.generations[0].history
    assert blank.generations[0].collapsed
    np.testing.assert_allclose(blank.table()[0]["val_accuracy"], share, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_epoch_that_was_not_validated_is_validated_if_it_is_kept(keep):
    lineage = ban_tf.Lineage(build, 0, keep=keep)
    compile = {"optimizer": lambda: keras.optimizers.Adam(1e-2), "metrics": ["accuracy"]}
    fit(lineage, "plain", epochs=5, validation_freq=2, compile=compile)
    assert_describes(lineage.table()[0], lineage.model(0))


@pytest.mark.nightly
def test_weights_without_validation_data_have_the_row_of_their_epoch():
    lineage = ban_tf.Lineage(build, 0)
    fit(lineage, "an epoch remembered", validation_data=None)
    second = lineage.generations[0].history[1]
    assert lineage.table()[0]["loss"] == second["loss"]


@pytest.mark.nightly
def test_part_of_the_arrays_may_be_the_validation_data():
    lineage = ban_tf.Lineage(build, 0)
    fit(lineage, "average at the end", validation_data=None, validation_split=0.25)
    x, y = TRAIN
    assert_describes(lineage.table()[0], lineage.model(0), x[36:], y[36:])


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("moment", "keep"),
    [
        *(("step", "last"), ("validation", "best"), ("epoch end", "best")),
        *(("step", "best"), ("validation", "last"), ("epoch end", "last")),
    ],
)
def test_an_average_survives_an_interruption_at_any_moment(moment, keep, tmp_path):
    def optimizer():
        return keras.optimizers.SGD(0.5, momentum=0.9, use_ema=True, ema_momentum=0.8)

    def run(directory, *further):
        lineage = tiny_lineage.make_lineage(directory, keep=keep)
        with lineage.directory:
            return tiny_lineage.fit(
                lineage,
                callbacks=lambda generation: [keras.callbacks.SwapEMAWeights(), *further],
                **tiny_lineage.compiled(optimizer=optimizer),
            )

    whole = run(tmp_path / "whole")
    with pytest.raises(signals.Interrupted):
        run(tmp_path / "interrupted", tiny_lineage.Signal(moment, 2))
    resumed = run(tmp_path / "interrupted")
    tiny_lineage.assert_equal(resumed, whole)
    for ours, theirs in zip(resumed.generations, whole.generations, strict=True):
        assert ours.kept == theirs.kept


@pytest.mark.nightly
@pytest.mark.parametrize(
    "scenario", ["early stopping", "average at the end", "replaced at the end"]
)
def test_a_process_that_dies_after_training_loses_nothing(scenario, tmp_path, monkeypatch):
    def run(directory):
        lineage = ban_tf.Lineage(build, 0, directory=tmp_path / directory)
        with lineage.directory:
            return fit(lineage, scenario).generations[0]

    def dies(*arguments):
        raise KeyError("power cut")

    whole = run("whole")
    with monkeypatch.context() as patch, pytest.raises(KeyError, match="power cut"):
        patch.setattr(generations, "write", dies)
        run("died")
    resumed = run("died")
    assert resumed.kept == whole.kept and resumed.history == whole.history
    for ours, theirs in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


SWAPS = {"callbacks": lambda generation: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]}


def test_an_average_that_stays_in_the_model_between_epochs_is_refused_with_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="`callbacks` has SwapEMAWeights"):
        fit(ban_tf.Lineage(build, 0, directory=tmp_path), "average at the end", **SWAPS)


@pytest.mark.nightly
def test_an_average_that_stays_in_the_model_between_epochs_is_kept_without_checkpoints():
    lineage = fit(ban_tf.Lineage(build, 0), "average at the end", **SWAPS)
    assert_describes(lineage.table()[0], lineage.model(0))
