"""Trainable parameters inside distillation losses: trained, resumed, not in the student's file."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import ban_tf

WIDE, NARROW, CLASSES = 6, 4, 3


def network(width, seed=0):
    if seed is not None:
        keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(width, activation="tanh", name="hidden"),
            layers.Dense(CLASSES, name="last"),
        ]
    )


def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(16, 5)).astype("float32"), generator.integers(0, CLASSES, 16)


class Hint(keras.distillation.DistillationLoss):
    """The student's features, projected, are to be the teacher's (Romero et al., 2015)."""

    def __init__(self, hold=lambda layer: layer, layer="hidden", width=WIDE, **options):
        self.teacher_layer_name = self.student_layer_name = layer
        self.projection = layers.Dense(width, use_bias=False, **options)
        self.held = hold(self.projection)
        del self.projection

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        projection = next(
            entry for entry in keras.tree.flatten(self.held) if isinstance(entry, keras.Layer)
        )
        return ops.mean(ops.square(projection(student_outputs) - teacher_outputs))


class Scaled(keras.distillation.DistillationLoss):
    """A variable of its own in place of a layer."""

    def __init__(self):
        self.scale = keras.Variable(0.5, name="scale")

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return ops.mean(ops.square(self.scale * student_outputs - teacher_outputs))


class Held:
    """A class of the user's own that holds a layer."""

    def __init__(self, layer):
        self.layer = layer


def born_again(loss, rate=0.1, **options):
    model = ban_tf.BornAgainModel(
        network(NARROW, 0), network(WIDE, 1), "kd", distillation_losses=[(loss, 2.0)], **options
    )
    model.compile(keras.optimizers.SGD(rate))
    return model


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    "hold",
    [lambda layer: layer, lambda layer: [[layer], None], lambda layer: {"one": (layer, 3)}],
    ids=["attribute", "lists", "dictionary"],
)
def test_one_step_moves_a_projection_by_its_gradient_wherever_it_is_held(hold):
    x, y = data()
    loss = Hint(hold)
    model = born_again(loss)
    (kernel,) = model.trainable_variables[-1:]
    before = kernel.numpy().astype("float64")
    theirs, ours = (
        np.tanh(x.astype("float64") @ net.layers[0].get_weights()[0])
        for net in (model.teacher.models[0], model.student)
    )
    error = ours @ before - theirs
    model.fit(x, y, batch_size=len(x), verbose=0)
    gradient = 2.0 * ours.T @ (2 * error / error.size)  # the loss has weight 2
    np.testing.assert_allclose(kernel.numpy(), before - 0.1 * gradient, atol=1e-6)


def test_an_object_of_the_users_own_class_is_looked_into():
    loss = Hint()
    layer = layers.Dense(2)
    layer.build((None, 2))
    loss.other = Held(layer)
    model = born_again(loss)
    held = [variable for variable in model.trainable_variables if variable is layer.kernel]
    assert len(held) == 1


@pytest.mark.nightly
def test_a_variable_is_trained():
    x, y = data()
    loss = Scaled()
    model = born_again(loss)
    model.fit(x, y, verbose=0)
    assert float(loss.scale.numpy()) != 0.5
    assert model.optimizer.built and len(model.trainable_variables) == 5


@pytest.mark.nightly
def test_what_is_frozen_stays_and_a_teacher_that_a_loss_holds_is_not_trained():
    x, y = data()
    loss = Hint(lambda layer: layer)
    model = born_again(loss)
    loss.teacher = model.teacher.models[0]
    loss.held.trainable = False
    before = loss.held.get_weights()[0]
    model.compile("sgd")
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(loss.held.get_weights()[0], before)
    assert len(model.trainable_variables) == 4


@pytest.mark.nightly
def test_the_saved_student_has_no_projection_and_the_model_in_training_keeps_it(tmp_path):
    keras.saving.register_keras_serializable("test_projections")(SavedHint)
    x, y = data()
    model = born_again(SavedHint())
    model.fit(x, y, epochs=2, verbose=0)
    model.student.save(tmp_path / "student.keras")
    plain = keras.models.load_model(tmp_path / "student.keras")
    assert [weight.shape for weight in plain.get_weights()] == [
        weight.shape for weight in network(NARROW).get_weights()
    ]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    loaded.teacher = model.teacher.models[0]
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class SavedHint(Hint):
    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


@pytest.mark.nightly
def test_without_a_teacher_its_weights_are_the_students():
    model = ban_tf.BornAgainModel(network(NARROW), distillation_losses=Hint())
    model.compile("sgd")
    other = network(NARROW, 3)
    model.set_weights(other.get_weights())
    for one, expected in zip(model.student.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)
    x, y = data()
    model.fit(x, y, verbose=0)


@pytest.mark.nightly
def test_its_regularizer_counts_once():
    x, y = data()
    logs = []
    for options in ({}, {"kernel_regularizer": keras.regularizers.L2(0.5)}):
        keras.utils.set_random_seed(0)
        model = born_again(Hint(**options), rate=0.0)
        logs.append(model.train_on_batch(x, y, return_dict=True)["loss"])
        kernel = model.trainable_variables[-1].numpy().astype("float64")
    np.testing.assert_allclose(logs[1] - logs[0], 0.5 * np.sum(kernel**2), rtol=1e-5)


@pytest.mark.nightly
def test_a_resumed_lineage_trains_projections_as_one_that_was_not_interrupted(tmp_path):
    x, y = data()

    def run(folder, stop_after):
        class Stop(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == stop_after and self.model.teacher is not None:
                    raise KeyboardInterrupt

        keras.utils.set_random_seed(0)  # for the projection, which is built here
        lineage = ban_tf.Lineage(
            lambda: network(NARROW, None),
            generations=2,
            directory=folder,
            distillation_losses=Hint(width=NARROW),
        )
        try:
            lineage.fit(
                x, y, epochs=3, shuffle=False, callbacks=[Stop()], verbose=0,
                compile={"optimizer": "adam"},
            )  # fmt: skip
        except KeyboardInterrupt:
            return None
        return lineage.model(2).get_weights()

    whole = run(tmp_path / "whole", None)
    assert run(tmp_path / "parts", 1) is None
    for one, other in zip(whole, run(tmp_path / "parts", None), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_projection_of_unknown_shape_has_to_be_built_first():
    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = layers.Dense(CLASSES)

        def call(self, inputs):
            return self.last(inputs)

    models = [Subclass(), Subclass()]
    for model in models:
        model(np.zeros((1, 5)))
    with pytest.raises(ValueError, match=r"Hint holds the layer .* call the layer's build"):
        ban_tf.BornAgainModel(*models, distillation_losses=Hint(layer=None))
    loss = Hint(layer=None)
    loss.held = layers.Dense(CLASSES)
    loss.held.build((None, CLASSES))
    ban_tf.BornAgainModel(*models, distillation_losses=loss)


def test_a_variable_that_is_not_keras_is_refused():
    import tensorflow as tf

    loss = Hint()
    loss.other = tf.Variable(1.0)
    with pytest.raises(ValueError, match="not Keras's and would not be trained"):
        born_again(loss)
