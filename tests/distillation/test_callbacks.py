"""Keras's callbacks on a student: what they watch, keep, restore and change."""

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from twins import (
    CLASSES,
    as_one_hot,
    assert_equal_weights,
    assert_trains_alike,
    data,
    network,
    sgd,
)

import ban_tf

callbacks = keras.callbacks


def born_again(teacher=None, **options):
    model = ban_tf.BornAgainModel(network(), teacher=teacher or network(seed=1), **options)
    model.compile(sgd(), metrics=["accuracy"])
    return model


def fit(model, epochs, watchers=(), **options):
    x, y = data()
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": epochs, **options}
    return model.fit(x, y, callbacks=list(watchers), **arguments).history


def _validated(make):
    x, y = data(16, seed=1)
    return lambda: {
        "validation_data": (x, np.eye(CLASSES)[y]),
        "callbacks": [make()],
        "epochs": 4,
    }


@pytest.mark.nightly
def test_the_learning_rate_is_changed_as_in_plain_keras():
    plain, ours = assert_trains_alike(
        network,
        *data(),
        fit=_validated(lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)),
    )
    assert ours["learning_rate"] == plain["learning_rate"] != [ours["learning_rate"][0]] * 4


@pytest.mark.nightly
@pytest.mark.parametrize(
    "make",
    [
        lambda: callbacks.ReduceLROnPlateau("val_accuracy", factor=0.1, patience=1, mode="max"),
        lambda: callbacks.EarlyStopping(
            "val_accuracy", patience=1, mode="max", restore_best_weights=True
        ),
    ],
    ids=["ReduceLROnPlateau", "EarlyStopping"],
)
def test_callbacks_that_watch_validation_act_as_in_plain_keras(make):
    plain, ours = assert_trains_alike(
        network,
        *data(),
        fit=_validated(make),
        compile={"metrics": ["accuracy"]},
        arrange=as_one_hot,
    )
    assert ours["val_accuracy"] == plain["val_accuracy"]


@pytest.mark.nightly
def test_averaged_weights_are_validated_as_in_plain_keras():
    plain, ours = assert_trains_alike(
        network,
        *data(),
        fit=_validated(callbacks.SwapEMAWeights),
        compile={"metrics": ["accuracy"]},
        optimizer=lambda: sgd(use_ema=True, ema_momentum=0.5),
        arrange=as_one_hot,
    )
    assert ours["val_accuracy"] == plain["val_accuracy"]


@pytest.mark.nightly
def test_early_stopping_on_the_loss_gives_back_the_best_weights():
    class Worsen(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:  # from here on, uphill
                self.model.optimizer.learning_rate = -1.0

    model = born_again()
    stop = callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    history = fit(model, 9, [Worsen(), stop])
    assert len(history["loss"]) < 9
    best = born_again()
    fit(best, int(np.argmin(history["loss"])) + 1, [Worsen()])
    assert_equal_weights(model.student, best.student, atol=0)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("weights_only", [False, True])
def test_a_checkpoint_holds_the_student_and_not_its_teacher(tmp_path, weights_only):
    keras.utils.set_random_seed(5)
    teacher = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(100_000, use_bias=False),
            keras.layers.Dense(CLASSES),
        ]
    )
    model = born_again(teacher)
    path = tmp_path / ("student.weights.h5" if weights_only else "student.keras")
    fit(model, 1, [callbacks.ModelCheckpoint(path, save_weights_only=weights_only)])
    assert path.stat().st_size < 200_000 < teacher.count_params()
    if weights_only:
        again = born_again(teacher)
        again(data()[0])
        again.load_weights(path)
    else:
        again = keras.models.load_model(path)
        assert [weight.shape for weight in again.student.weights] == [
            weight.shape for weight in model.student.weights
        ]
    assert_equal_weights(again.student, model.student, atol=0)


@pytest.mark.nightly
def test_an_interrupted_training_resumes_from_its_backup(tmp_path):
    class Interrupt(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    straight = born_again(objective="dkpp")
    fit(straight, 4)
    with pytest.raises(KeyboardInterrupt):
        fit(born_again(objective="dkpp"), 4, [callbacks.BackupAndRestore(tmp_path), Interrupt()])
    resumed = born_again(objective="dkpp")
    history = fit(resumed, 4, [callbacks.BackupAndRestore(tmp_path)])
    assert len(history["loss"]) == 2
    assert_equal_weights(resumed.student, straight.student, atol=0)


@pytest.mark.nightly
def test_tensorboard_shows_what_the_history_holds(tmp_path):
    model = born_again()
    x, y = data(16, seed=1)
    history = fit(model, 2, [callbacks.TensorBoard(tmp_path)], validation_data=(x, y))
    for folder, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / folder), size_guidance={"tensors": 0})
        events.Reload()
        for name in ("loss", "teacher_loss", "label_loss", "teacher_agreement", "accuracy"):
            shown = [
                float(np.frombuffer(event.tensor_proto.tensor_content or b"", "float32")[0])
                if event.tensor_proto.tensor_content
                else event.tensor_proto.float_val[0]
                for event in events.Tensors(f"epoch_{name}")
            ]
            np.testing.assert_allclose(shown, history[prefix + name], rtol=1e-6)
