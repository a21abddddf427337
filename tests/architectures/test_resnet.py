"""Residual students of a DenseNet: sizes of the paper, shapes and first layers of the teacher."""

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf import architectures
from ban_tf.distillation import sharing
from ban_tf.training import optimizers


@pytest.mark.parametrize(
    ("name", "paper"),
    [("wide-1-1", 20.9), ("wide-4-0.5", 24.3)],
)
def test_wide_students_are_as_large_as_in_the_paper(name, paper):
    """Furlanello et al., 2018, Table 5: trained parameters, cut off after one decimal."""
    trained = _count_between_ends(name)
    assert trained / 1e6 == pytest.approx(paper + 0.05, abs=0.051)


@pytest.mark.parametrize(("ratio", "millions"), [("0.5", 7.60)])
def test_bottleneck_students_are_of_the_documented_size(ratio, millions):
    trained = _count_between_ends(f"bottleneck-14-{ratio}")
    assert round(trained / 1e6, 2) == millions


def _count_between_ends(name):
    trained, _ = architectures.count_parameters(
        f"resnet-{name}@densenet-90-60", (32, 32, 3), 100, final_transition=True
    )
    return trained - 27 * 120 - (750 + 1) * 100


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", ["wide-2-0.5", "bottleneck-2-0.5"])
@pytest.mark.parametrize("final_transition", [None, True])
def test_a_student_has_its_teachers_shapes(kind, final_transition):
    settings = {"final_transition": final_transition}
    teacher = architectures.build("densenet-22-12", (32, 32, 3), 10, **settings)
    student = architectures.build(f"resnet-{kind}@densenet-22-12", (32, 32, 3), 10, **settings)
    for layer in ("convolution", "transition1_pooling", "transition2_pooling", "pooling", "logits"):
        assert student.get_layer(layer).output.shape == teacher.get_layer(layer).output.shape
    units = [layer for layer in student.layers if layer.name.endswith("_sum")]
    assert len(units) == 3 * 2


@pytest.mark.nightly
def test_ends_are_copied_from_the_teacher_and_stay_as_they_are_in_training():
    """No gradient reaches them, and neither weight decay nor momentum moves them."""
    keras.utils.set_random_seed(0)
    teacher = architectures.build("densenet-10-4", (8, 8, 1), 3)
    student = architectures.build("resnet-wide-1-1@densenet-10-4", (8, 8, 1), 3)
    sharing.copy_ends(student, teacher, sharing.freeze_ends(student))
    before = {layer.name: layer.get_weights() for layer in student.layers}
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile(optimizers.make_optimizer("sgd", 0.1, weight_decay=0.1))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(32, 8, 8, 1)).astype("float32")
    model.fit(images, generator.integers(0, 3, 32), batch_size=8, epochs=2, verbose=0)
    for end in ("convolution", "logits"):
        for now, then, theirs in zip(
            student.get_layer(end).get_weights(),
            before[end],
            teacher.get_layer(end).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(now, then)
            np.testing.assert_array_equal(now, theirs)
    inner = student.get_layer("block1_unit1_convolution1")
    assert not np.allclose(inner.get_weights()[0], before[inner.name][0])
    paths = [variable.path for variable in model.trainable_variables]
    assert not any(path.startswith(("convolution/", "logits/")) for path in paths)


def test_a_teacher_of_other_shapes_is_refused():
    student = architectures.build("resnet-wide-1-1@densenet-10-4", (8, 8, 1), 3)
    with pytest.raises(ValueError, match=r"'convolution'.*shapes"):
        teacher = architectures.build("wrn-10-1", (8, 8, 1), 3)
        sharing.copy_ends(student, teacher, sharing.ends(student))


def test_ends_of_any_model_can_be_frozen():
    layers = [keras.layers.Flatten(), *(keras.layers.Dense(4) for _ in range(3))]
    model = keras.Sequential([keras.Input((2, 2)), *layers])
    sharing.freeze_ends(model)
    assert [layer.trainable for layer in layers[1:]] == [False, True, False]
    alone = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    assert sharing.ends(alone) == [0]
    with pytest.raises(ValueError, match="no layers with weights"):
        sharing.ends(keras.Sequential([keras.Input((2,)), keras.layers.Activation("relu")]))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lstm-2-8", ["embedding"]),
        ("cnn-lstm-1-8", ["characters", "logits"]),
    ],
)
def test_ends_of_language_models_are_embeddings_and_logits(name, layers):
    """Neither the recurrence of a network with tied embeddings nor a table of spellings."""
    model = architectures.build_language_model(name, ("a", "b", "c"), dropout=0.1)
    places = sharing.freeze_ends(model)
    assert [model.layers[place].name for place in places] == layers
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    assert {*frozen} - {"spelling"} == {*layers}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet-wide-4-1", "residual student is named"),
        ("resnet-deep-4-1@densenet-22-12", "residual student is named"),
        ("resnet-wide-0-1@densenet-22-12", "at least 1 unit"),
        ("resnet-wide-1-0@densenet-22-12", "at least 1 unit"),
        ("resnet-wide-1-1@densenet-22", "densenet-DEPTH-GROWTH"),
    ],
)
def test_wrong_names_are_explained(name, message):
    with pytest.raises(ValueError, match=f"name=.*{message}"):
        architectures.resolve(name)
