"""A teacher that is folded, and computes in another precision than its student."""

import functools

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.config import options
from ban_tf.runs.rundir import RunDirectory
from ban_tf.training import precision

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(64, 8, 8, 3)).astype("float32")
LABELS = DRAW.integers(0, 4, 64)


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


def trained(**arguments):
    lineage = ban_tf.Lineage(network, generations=2, objective="kd", **arguments)
    return lineage.fit(
        IMAGES,
        LABELS,
        epochs=2,
        batch_size=16,
        shuffle=False,
        verbose=0,
        compile=lambda epochs: {"optimizer": keras.optimizers.SGD(0.05)},
    )


def losses(lineage):
    return [row["teacher_loss"] for row in lineage.history if "teacher_loss" in row]


@functools.cache
def of_precision(teacher_precision):
    return losses(trained(teacher_precision=teacher_precision))


@pytest.mark.nightly
def test_a_folded_teacher_teaches_the_same():
    """In every generation: what is folded is the weights of the teacher by then."""
    plain, folded = map(of_precision, (None, "float32"))
    assert len(plain) == 4
    np.testing.assert_allclose(folded, plain, rtol=1e-4)


@pytest.mark.nightly
def test_a_fast_teacher_teaches_nearly_the_same():
    plain, folded, fast = map(of_precision, (None, "float32", "mixed_bfloat16"))
    np.testing.assert_allclose(fast, plain, rtol=0.05)
    assert np.abs(np.subtract(fast, plain)).max() > np.abs(np.subtract(folded, plain)).max()


@pytest.mark.nightly
def test_several_teachers_are_folded_each():
    plain, folded = (
        losses(trained(teacher="ensemble", teacher_precision=array)) for array in (None, "float32")
    )
    np.testing.assert_allclose(folded, plain, rtol=1e-4)


def test_what_a_run_chose_once_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "choose", lambda: precision.Choice("mixed_bfloat16", "so"))
    with RunDirectory(tmp_path) as directory:
        assert precision.for_teachers("same", directory) is None
        assert precision.for_teachers("auto", directory) == "mixed_bfloat16"
        monkeypatch.setattr(precision, "choose", lambda: precision.Choice("float32", "so"))
        assert precision.for_teachers("auto", directory) == "mixed_bfloat16"
        assert precision.for_run("auto", directory) == "float32"


def test_a_teacher_that_cannot_be_rebuilt_is_refused_before_any_training():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, inputs):
            return self.dense(keras.ops.reshape(inputs, (-1, 192)))

    def build():
        model = Subclassed()
        model(IMAGES[:1])
        return model

    with pytest.raises(ValueError, match=r"`teacher_precision` is 'float32'.*subclassed"):
        ban_tf.Lineage(build, generations=1, teacher_precision="float32")
    with pytest.raises(ValueError, match=r"`teacher_precision` is 'bf16'.*a dtype policy"):
        ban_tf.Lineage(network, generations=1, teacher_precision="bf16")


def test_a_teacher_that_is_looked_into_stays_as_it_is():
    with pytest.raises(ValueError, match=r"`teacher_precision` is 'float32', for which"):
        ban_tf.Lineage(network, teacher_precision="float32", distillation_losses=[object()])
    with pytest.raises(
        options.OptionsError, match="--activation_weight reads layers of the teacher"
    ):
        options.check(options.Options(activation_weight=1.0, teacher_precision="auto"))
