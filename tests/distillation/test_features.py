"""Features of unlike networks: aligned, projected by layers of their own, and trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import ban_tf
from ban_tf import architectures
from ban_tf.distillation import alignment, distillation_losses, feature_layers
from ban_tf.distillation.features import FeatureLoss

CLASSES = 3
RNG = np.random.default_rng(0)


def convolutional(widths, name, strides=(1, 2), seed=0):
    """A network whose layers are called NAME_0, NAME_1 and so on."""
    if seed is not None:
        keras.utils.set_random_seed(seed)
    blocks = [
        layers.Conv2D(
            width, 3, strides=stride, padding="same", activation="tanh", name=f"{name}_{index}"
        )
        for index, (width, stride) in enumerate(zip(widths, strides, strict=True))
    ]
    ends = [layers.GlobalAveragePooling2D(name=f"{name}_pool"), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input((8, 8, 1)), *blocks, *ends], name=name)


class ClassToken(layers.Layer):
    def call(self, patches):
        return keras.ops.pad(patches, ((0, 0), (1, 0), (0, 0)))


def transformer(name="vit", width=6):
    images = keras.Input((8, 8, 1))
    patches = layers.Conv2D(width, 2, strides=2, name=f"{name}_patches")(images)
    tokens = ClassToken(name=f"{name}_token")(layers.Reshape((16, width))(patches))
    tokens = layers.MultiHeadAttention(2, 3, name=f"{name}_attention")(tokens, tokens)
    tokens = layers.Dense(width, activation="tanh", name=f"{name}_tokens")(tokens)
    return keras.Model(images, layers.Dense(CLASSES)(tokens[:, 0]), name=name)


def images(count=12):
    x = RNG.normal(size=(count, 8, 8, 1)).astype("float32")
    return x, np.arange(count) % CLASSES


def _area_average(maps, size):
    """Averages maps to a size by cutting every cell into small ones."""
    fine = [np.repeat(np.arange(old), new) for old, new in zip(maps.shape[1:3], size, strict=True)]
    fine = maps[:, fine[0]][:, :, fine[1]]
    rows, columns = maps.shape[1:3]
    shape = (len(maps), size[0], rows, size[1], columns, maps.shape[-1])
    return fine.reshape(shape).mean(axis=(2, 4))


@pytest.mark.parametrize(("old", "new"), [((8, 8), (4, 4)), ((7, 5), (3, 2)), ((4, 6), (3, 6))])
def test_the_finer_map_is_averaged_by_area(old, new):
    fine, coarse = RNG.normal(size=(2, *old, 3)), RNG.normal(size=(2, *new, 3))
    expected = _area_average(fine, new)
    for swap in (False, True):
        given = (coarse, fine) if swap else (fine, coarse)
        found = alignment.align(*(tf.constant(x, "float64") for x in given))
        found = found[::-1] if swap else found
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
        np.testing.assert_array_equal(found[1], coarse)


def test_tokens_become_maps_without_their_class_tokens():
    tokens, maps = RNG.normal(size=(2, 17, 3)), RNG.normal(size=(2, 4, 4, 5))
    found, same = alignment.align(tf.constant(tokens), tf.constant(maps))
    np.testing.assert_array_equal(found, tokens[:, 1:].reshape(2, 4, 4, 3))
    np.testing.assert_array_equal(same, maps)
    both = alignment.align(tf.constant(tokens), tf.constant(tokens))
    assert both[0].shape == (2, 17, 3)
    vector, mean = alignment.align(tf.constant(maps[:, 0, 0]), tf.constant(maps))
    np.testing.assert_allclose(mean, maps.mean(axis=(1, 2)))
    np.testing.assert_array_equal(vector, maps[:, 0, 0])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 20, 3), (2, 4, 4, 3)), "20 tokens are no square map"),
        (((2, 3, 3, 3, 3), (2, 3)), r"Features must be \[batch, channels\]"),
    ],
)
def test_what_cannot_be_aligned_is_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        alignment.align(*(tf.zeros(shape) for shape in shapes))


def _born_again(student, teacher, terms, optimizer=None, **options):
    options = {"objective": "kd", "label_weight": 0.0, **options}
    model = ban_tf.BornAgainModel(student, teacher, distillation_losses=terms, **options)
    model.compile(optimizer or keras.optimizers.SGD(0.5))
    return model


def test_weights_after_some_steps_are_those_of_a_loop_by_hand():
    x, _ = images()
    teacher = convolutional((5, 6), "teacher", strides=(1, 1), seed=1)
    student, twin = (convolutional((3, 4), "student") for _ in range(2))
    loss = FeatureLoss("fitnets", "teacher_1", "student_1", seed=3)
    model = _born_again(student, teacher, [(loss, 2.0)], teacher_weight=0.0)
    kernel, bias = (tf.Variable(weight) for weight in loss.projection.get_weights())
    start = kernel.numpy()
    for _ in range(3):
        model.train_on_batch(x)
    look, target = (
        keras.Model(network.inputs[0], network.get_layer(name).output)
        for network, name in ((twin, "student_1"), (teacher, "teacher_1"))
    )
    wanted = _area_average(np.asarray(target(x)), (4, 4))
    trained = [*look.trainable_variables, kernel, bias]
    for _ in range(3):
        with tf.GradientTape() as tape:
            projected = tf.nn.conv2d(look(x), kernel[None, None], 1, "SAME") + bias
            difference = 2.0 * tf.reduce_mean(tf.square(projected - wanted))
        for variable, gradient in zip(trained, tape.gradient(difference, trained), strict=True):
            variable.assign(tf.convert_to_tensor(variable) - 0.5 * gradient)
    for ours, theirs in zip(student.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    np.testing.assert_allclose(loss.projection.kernel.numpy(), kernel.numpy(), atol=2e-6)
    assert np.abs(kernel.numpy() - start).max() > 1e-3


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["fitnets", "relational"])
def test_each_loss_falls_between_a_transformer_and_a_convolutional_network(name):
    x, y = images()
    student = convolutional((3, 4), "student", strides=(1, 1))
    found = ban_tf.features.losses(
        transformer(), student, name, layers=[("vit_tokens", "student_1")]
    )
    model = _born_again(
        student, transformer(), found, keras.optimizers.Adam(0.02), teacher_weight=0
    )
    logs = model.fit(x, y, epochs=12, verbose=0).history["distillation_loss"]
    assert logs[-1] < 0.7 * logs[0]
    assert (found[0][0].projection is None) == (name == "relational")


@pytest.mark.nightly
def test_the_saved_student_has_no_projection_and_the_model_in_training_keeps_it(tmp_path):
    x, y = images()
    student, teacher = convolutional((3, 4), "student"), convolutional((5, 6), "teacher", seed=1)
    model = _born_again(student, teacher, ban_tf.features.losses(teacher, student))
    model.fit(x, y, verbose=0)
    assert len(model.trainable_variables) == len(student.trainable_variables) + 4
    model.student.save(tmp_path / "student.keras")
    plain = keras.models.load_model(tmp_path / "student.keras")
    assert [w.shape for w in plain.get_weights()] == [w.shape for w in student.get_weights()]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    loaded.teacher = teacher
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.nightly
def test_a_resumed_lineage_trains_projections_as_one_that_was_not_interrupted(tmp_path):
    x, y = images()

    def run(folder, stop_after, seed):
        class Stop(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == stop_after and self.model.teacher is not None:
                    raise KeyboardInterrupt

        loss = FeatureLoss(
            "fitnets", "net_1", "net_0"
        )  # from 8 to 6 channels, and to half the size
        keras.utils.set_random_seed(seed)
        lineage = ban_tf.Lineage(
            lambda: convolutional((6, 8), "net", seed=None),
            generations=2,
            directory=folder,
            distillation_losses=loss,
        )
        compile = {"optimizer": "adam", "run_eagerly": True}
        options = {"epochs": 2, "verbose": 0, "compile": compile}
        try:
            lineage.fit(x, y, callbacks=[Stop()], **options)
        except KeyboardInterrupt:
            return None
        return lineage.model(2).get_weights()

    whole = run(tmp_path / "whole", None, 0)
    assert run(tmp_path / "parts", 1, 0) is None
    for one, other in zip(whole, run(tmp_path / "parts", None, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_are_paired_by_resolution_or_from_the_end():
    images_8, images_16 = (8, 8, 1), (16, 16, 1)
    narrow = architectures.build("wrn-10-1", images_8, CLASSES)
    dense = architectures.build("densenet-10-4", images_8, CLASSES)
    wide = architectures.build("wrn-10-2", images_16, CLASSES)
    by_size = feature_layers.automatic(narrow, architectures.build("wrn-10-2", images_8, CLASSES))
    assert by_size == [
        ("group2_block1_first_relu", "group2_block1_first_relu"),
        ("group3_block1_first_relu", "group3_block1_first_relu"),
        ("final_relu", "final_relu"),
    ]
    for one, other in ((narrow, dense), (wide, dense)):
        ends = [
            model.get_layer(name)
            for model, name in zip(
                (one, other), feature_layers.automatic(one, other)[-1], strict=True
            )
        ]
        assert all(len(layer.output.shape) == 4 for layer in ends)
    tokens = transformer()
    assert feature_layers.automatic(tokens, convolutional((3, 4), "net"))[-1] == (
        "vit_tokens",
        "net_1",
    )
    vectors = [
        keras.Sequential(
            [keras.Input((5,)), layers.Dense(width, name=f"hidden_{width}"), layers.Dense(CLASSES)]
        )
        for width in (7, 4)
    ]
    assert feature_layers.automatic(*vectors) == [("hidden_7", "hidden_4")]


def nested(name, channels=3):
    """A network around another one that normalizes batches; both names have a place in it."""
    blocks = [layers.Conv2D(5, 3, strides=2, name="conv"), layers.BatchNormalization(name="norm")]
    inner = keras.Sequential([keras.Input((8, 8, channels)), *blocks], name=name)
    inner.build((None, 8, 8, channels))
    inner.layers[-1].set_weights(list(np.random.default_rng(1).uniform(0.5, 1.5, (4, 5))))
    outer = keras.Input((8, 8, 1))
    maps = inner(layers.Concatenate()([outer] * channels))
    ends = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(maps))
    return keras.Model(outer, ends, name=f"around_{name}"), inner


@pytest.mark.nightly
@pytest.mark.parametrize("their_layer", ["norm", "theirs/norm", (2, 1)])
def test_layers_of_nested_models_are_compared_in_the_pass_of_the_outermost(their_layer):
    x, y = images()
    (teacher, theirs), (student, ours) = nested("theirs"), nested("ours", 2)
    paths = [weight.path for weight in student.weights]
    loss = FeatureLoss("fitnets", their_layer, "ours/norm")
    model = _born_again(student, teacher, loss, teacher_weight=0.0, objective="kd")
    found = model.train_on_batch(x, y, return_dict=True)["distillation_loss"]
    _, inner = nested("ours", 2)
    inner.set_weights(ours.get_weights())
    wanted = theirs(np.repeat(x, 3, axis=-1), training=False)
    again = model.evaluate(x, y, verbose=0, return_dict=True)["distillation_loss"]
    expected = np.mean((wanted - inner(np.repeat(x, 2, axis=-1), training=False)) ** 2)
    assert again == pytest.approx(float(expected), rel=1e-4) and again < found
    assert [weight.path for weight in student.weights] == paths
    copy = keras.models.clone_model(student)
    copy.set_weights(student.get_weights())
    np.testing.assert_array_equal(copy.predict(x, verbose=0), student.predict(x, verbose=0))


@pytest.mark.nightly
def test_auto_finds_the_stages_of_a_teacher_of_other_pixels_and_size():
    large = keras.Sequential(
        [keras.Input((16, 16, 3)), *(layers.Conv2D(w, 3, 2, "same", name=f"c{w}") for w in (4, 6))]
        + [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)],
        name="large",
    )
    teacher = ban_tf.adapt_teacher(large, (8, 8, 1), takes="imagenet")
    student = convolutional((3, 4), "student")
    pairs = feature_layers.automatic(teacher, student)
    assert pairs == [("large/c4", "student_0"), ("large/c6", "student_1")]
    assert feature_layers.index(teacher, "large/c6") == (2, 1)
    terms = ban_tf.features.losses(teacher, student)
    rebuilt = FeatureLoss.from_config(terms[0][0].get_config())
    assert rebuilt.check(teacher, student) == (4, 3)
    model = _born_again(student, teacher, terms, teacher_weight=0.0)
    x, _ = images()
    first = model.train_on_batch(x, return_dict=True)["distillation_loss"]
    assert model.evaluate(x, verbose=0, return_dict=True)["distillation_loss"] < first


def test_names_that_several_nested_layers_have_need_their_models():
    (one, _), (two, _) = nested("one"), nested("two")
    both = keras.Sequential([keras.Input((8, 8, 1)), one, layers.Reshape((3, 1, 1))])
    end = layers.Flatten()(both(layers.Reshape((8, 8, 1))(inputs := keras.Input((64,)))))
    outer = keras.Model(inputs, layers.Add()([end, two(layers.Reshape((8, 8, 1))(inputs))]))
    with pytest.raises(ValueError, match=r"several layers 'conv'; name one of .*/one/conv, "):
        feature_layers.named(outer, "conv", "teacher")
    found = feature_layers.output_of(outer, "around_two/two/conv", "teacher")
    assert found.shape == (None, 3, 3, 5)
    twice = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="again")], name="shared")
    chain = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.Dense(CLASSES)])
    outer = keras.Model(inputs := keras.Input((4,)), chain(twice(twice(inputs))))
    with pytest.raises(ValueError, match="'shared/again' of the teacher is used several times"):
        feature_layers.output_of(outer, "again", "teacher")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": "a"}, "`weight` must be a finite number of at least 0. Received: 'a'"),
        ({"weight": -1}, "`weight` must be a finite"),
        ({"weight": True}, "`weight` must be a finite"),
        ({"seed": "a"}, "`seed` must be an integer"),
        ({"layers": [(1.5, 0)]}, "must be a name or an index"),
        ({"layers": [(9, 0)]}, "has 4 layers, and none 9"),
        ({"loss": "fitnet"}, "`loss` must be one of fitnets, attention"),
        (
            {"layers": [("teacher_9", "student_1")]},
            "'teacher' has no layer 'teacher_9'; did you mean",
        ),
        ({"layers": [("teacher_1", "x")]}, "The student 'student' has no layer 'x'; the last is"),
        ({"layers": []}, "`layers` must be 'auto' or pairs"),
        ({"layers": ["teacher_1"]}, "`layers` must have pairs"),
        ({"loss": "attention", "layers": [("teacher_1", "student_pool")]}, "compares positions"),
    ],
)
def test_wrong_layers_are_one_sentence(arguments, message):
    networks = convolutional((5, 6), "teacher"), convolutional((3, 4), "student")
    with pytest.raises(ValueError, match=message) as caught:
        ban_tf.features.losses(*networks, **arguments)
    assert "\n" not in str(caught.value)


def test_a_network_without_features_is_refused():
    flat = keras.Sequential([keras.Input((5,)), layers.Dense(CLASSES)])
    with pytest.raises(ValueError, match="has no layer before its last one"):
        ban_tf.features.losses(flat, flat)

    class Subclass(keras.Model):
        pass

    with pytest.raises(ValueError, match="Features need a teacher that is a Functional"):
        ban_tf.features.losses(Subclass(), flat)


@pytest.mark.nightly
def test_keras_own_loss_names_what_projects_where_shapes_differ():
    student, teacher = convolutional((3, 4), "student"), convolutional((5, 6), "teacher", seed=1)
    term = keras.distillation.FeatureDistillation("mse", "teacher_1", "student_1")
    with pytest.raises(ValueError, match=r"\(None, 4, 4, 6\) and student_1 gives .* projects one"):
        _born_again(student, teacher, term)
    same = keras.distillation.FeatureDistillation("mse", "teacher_1", "twin_1")
    model = _born_again(convolutional((3, 6), "twin"), teacher, same)
    model.train_on_batch(images()[0])


def test_layers_of_a_nested_teacher_may_have_the_names_of_those_around_it():
    def around(inner, name):
        images = keras.Input((8, 8, 1), name="images")
        pixels = keras.layers.Rescaling(1.5, name="pixels")(images)
        return keras.Model(images, inner(pixels), name=name)

    inner = [keras.layers.Rescaling(0.5, name="pixels"), keras.layers.Conv2D(4, 3, name="features")]
    head = [keras.layers.GlobalAveragePooling2D(name="end"), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 1), name="images"), *inner, *head], name="inner")
    teacher = around(around(network, "middle"), "outer")
    names = [layer.name for layer in network.layers]
    looking = distillation_losses.with_features(teacher, ["middle/inner/features"], "teacher")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    found = looking(images)
    wanted = network.layers[1](network.layers[0](images * 2.25))
    np.testing.assert_allclose(found["features"]["middle/inner/features"], wanted, atol=1e-5)
    np.testing.assert_allclose(found["outputs"], teacher(images), atol=1e-5)
    assert [layer.name for layer in network.layers] == names
