"""What an output means is known from arguments, loss and end, and everything follows it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from twins import CLASSES, data, sgd, softmax

import ban_tf

layers = keras.layers
UNITS = 3
BINARY = keras.losses.BinaryCrossentropy(from_logits=True)


def network(seed, units, activation=None, last=()):
    keras.utils.set_random_seed(seed)
    hidden = layers.Dense(8, activation="tanh")
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dense(units, activation), *last])


class Subclass(keras.Model):
    def __init__(self, seed, units, last=lambda x: x):
        super().__init__()
        keras.utils.set_random_seed(seed)
        self.inner = network(seed, units)
        self.last = last

    def call(self, inputs):
        return self.last(self.inner(inputs))


def sigmoid(z):
    return 1 / (1 + np.exp(-np.float64(z)))


def categorical(t, s):
    """Kullback-Leibler divergence of distributions over the last axis."""
    p, q = np.float64(t), np.float64(s)
    return np.sum(p * np.log(p / q), axis=-1).mean()


def binary(t, s):
    """The mean over units of the divergence of two-class distributions."""
    p, q = np.float64(t), np.float64(s)
    return np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def squared(t, s):
    return np.mean((np.float64(t) - np.float64(s)) ** 2)


def labels_for(kind, units, size=32):
    generator = np.random.default_rng(5)
    if kind == "categorical":
        return generator.integers(0, units, size)
    if kind == "binary":
        return generator.integers(0, 2, (size, units)).astype("float32")
    return generator.normal(5, 3, (size, units)).astype("float32")


def measure(student, teacher, loss, kind, units, stream=False, run_eagerly=True, **options):
    x, _ = data()
    y = labels_for(kind, units)
    model = ban_tf.BornAgainModel(student, teacher, "kd", **options)
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
    if stream:
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x))
        return model.fit(batches, verbose=0).history
    return model.fit(x, y, batch_size=len(x), verbose=0).history


def raw(models):
    return [keras.tree.map_structure(np.asarray, model(data()[0])) for model in models]


LOSSES = {
    "mse": ("mse", "values"),
    "mae": (keras.losses.MeanAbsoluteError(), "values"),
    "huber": (keras.losses.huber, "values"),
    "poisson": (["poisson"], "values"),
    "log_cosh": (keras.losses.LogCosh(), "values"),
    "binary": (BINARY, "binary"),
    "focal": (keras.losses.BinaryFocalCrossentropy(from_logits=True), "binary"),
    "categorical": (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "categorical",
    ),
}
NUMPY = {
    "values": squared,
    "binary": lambda t, s: binary(sigmoid(t), sigmoid(s)),
    "categorical": lambda t, s: categorical(softmax(t), softmax(s)),
}


@pytest.mark.first_cases(9)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("stream", [False, True], ids=["arrays", "tf.data"])
def test_the_compiled_loss_says_what_linear_units_mean(name, stream):
    loss, kind = LOSSES[name]
    models = network(0, UNITS), network(1, UNITS)
    student, teacher = raw(models)
    # A data set is read by a compiled step, arrays by an eager one.
    history = measure(*models, loss, kind, UNITS, stream, run_eagerly=not stream)
    np.testing.assert_allclose(history["teacher_loss"][0], NUMPY[kind](teacher, student), rtol=1e-4)
    if kind == "values":
        assert "teacher_agreement" not in history
    elif kind == "binary":
        agree = np.mean((teacher > 0) == (student > 0))
        np.testing.assert_allclose(history["teacher_agreement"][0], agree, rtol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", ["values", "binary", "categorical"])
def test_the_argument_decides_where_the_loss_does_not(kind):
    def my_loss(labels, predictions):
        return keras.ops.mean(predictions, axis=-1) + 0.0 * keras.ops.sum(
            keras.ops.cast(labels, "float32")
        )

    models = network(0, UNITS), network(1, UNITS)
    student, teacher = raw(models)
    history = measure(*models, my_loss, kind, UNITS, output_kind=kind)
    np.testing.assert_allclose(history["teacher_loss"][0], NUMPY[kind](teacher, student), rtol=1e-4)
    with pytest.raises(ValueError, match="Give `output_kind`: categorical, binary, values"):
        measure(*models, my_loss, kind, UNITS)
    measure(models[0], None, my_loss, kind, UNITS)  # plain Keras asks for no meaning


def test_one_unit_is_a_value_with_a_regression_loss_and_else_a_question():
    models = network(0, 1), network(1, 1)
    student, teacher = raw(models)
    for loss, kind in (("mse", "values"), (BINARY, "binary"), (None, "binary")):
        history = measure(*models, loss, kind, 1)
        np.testing.assert_allclose(
            history["teacher_loss"][0], NUMPY[kind](teacher, student), rtol=1e-4
        )


ENDS = {
    "softmax": (layers.Softmax(), categorical, "categorical"),
    "sigmoid": (layers.Activation("sigmoid"), binary, "binary"),
}


@pytest.mark.nightly
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stream", [False, True], ids=["arrays", "tf.data"])
def test_ends_are_found_behind_what_moves_numbers_in_nested_models_and_subclasses(end, stream):
    last, reference, kind = ENDS[end]
    inputs = keras.Input((6,))
    both = [last, layers.Reshape((1, UNITS)), layers.Permute((1, 2)), layers.Flatten()]

    def nested(seed):
        inner = network(seed, UNITS, last=both)
        return keras.Model(inputs, layers.Identity()(inner(inputs)))

    def subclass(seed):
        return Subclass(seed, UNITS, getattr(keras.ops, end))

    for build in (lambda seed: network(seed, UNITS, last=both), nested, subclass):
        models = build(0), build(1)
        student, teacher = raw(models)
        history = measure(*models, None, kind, UNITS, stream)
        expected = reference(teacher, student)
        np.testing.assert_allclose(history["teacher_loss"][0], expected, rtol=1e-4)


@pytest.mark.nightly
def test_a_softmax_over_another_axis_is_no_distribution_over_classes():
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")
    y = np.zeros((4, 5), "int32")

    def sequence(axis, permute):
        inputs = keras.Input((5, 6))
        found = layers.Softmax(axis)(layers.Dense(5)(inputs))
        return keras.Model(inputs, layers.Permute((2, 1))(found) if permute else found)

    for axis, permute in ((1, False), (-1, True)):
        model = ban_tf.BornAgainModel(sequence(axis, permute), sequence(axis, permute))
        model.compile(sgd(), "sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match="`student_activation`"):
            model.fit(x, y, verbose=0)
    models = sequence(1, True), sequence(1, True)
    student, teacher = (network.predict(x, verbose=0) for network in models)
    model = ban_tf.BornAgainModel(*models)
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    found = model.fit(x, y, verbose=0).history["teacher_loss"][0]
    np.testing.assert_allclose(found, categorical(teacher, student), rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("mse", {"output_kind": "categorical"}, "`output_kind` of .* is 'categorical', but"),
        (BINARY, {"student_activation": "softmax"}, "`student_activation` of .* is 'softmax'"),
        (BINARY, {"student_activation": "sigmoid"}, "`output_kind` 'binary'"),
        ("sparse_categorical_crossentropy", {}, "from_logits=True"),
        ("binary_crossentropy", {}, "from_logits=True"),
        (keras.losses.CategoricalCrossentropy(True, axis=1), {}, "on axis 1"),
        (None, {"output_kind": "ranking"}, "`output_kind` must be one of"),
        (None, {"output_kind": {"box": "values"}}, "`output_kind` names the outputs box"),
    ],
)
def test_contradictions_are_refused_in_a_sentence_if_a_teacher_is_there(loss, options, message):
    inputs = keras.Input((6,))
    models = [keras.Model(inputs, layers.Dense(UNITS, name="out")(inputs)) for _ in range(2)]
    before = models[0].get_weights()
    with pytest.raises(ValueError, match=message):
        measure(*models, loss, "categorical", UNITS, **options)
    for old, new in zip(before, models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_box_beside_a_class_has_a_kind_of_its_own():
    x, y = data()
    boxes = np.random.default_rng(2).normal(3, 2, (len(x), 4)).astype("float32")

    def detector(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((6,))
        hidden = layers.Dense(8, activation="tanh")(inputs)
        heads = {
            "kind": layers.Dense(CLASSES, name="kind")(hidden),
            "box": layers.Dense(4, name="box")(hidden),
            "flags": layers.Dense(2, activation="sigmoid", name="flags")(hidden),
        }
        return keras.Model(inputs, heads)

    models = detector(0), detector(1)
    student, teacher = raw(models)
    flags = (student["flags"] > 0.5).astype("float32")
    model = ban_tf.BornAgainModel(*models, "kd")
    losses = {
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "box": "mse",
        "flags": "binary_crossentropy",
    }
    model.compile(keras.optimizers.SGD(0.0), losses, run_eagerly=True)
    labels = {"kind": y, "box": boxes, "flags": flags}
    history = model.fit(x, labels, batch_size=32, verbose=0).history
    expected = (
        categorical(softmax(teacher["kind"]), softmax(student["kind"]))
        + squared(teacher["box"], student["box"])
        + binary(teacher["flags"], student["flags"])
    )
    np.testing.assert_allclose(history["teacher_loss"][0], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"`objective` ConfidenceWeighted .* 'box'"):
        refused = ban_tf.BornAgainModel(*models, "cwtm")
        refused.compile(sgd(), losses)
        refused.fit(x, labels, verbose=0)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", ["values", "binary", "categorical"])
def test_recorded_outputs_keep_their_kind(kind):
    x, _ = data()
    loss = {"values": "mse", "binary": BINARY, "categorical": LOSSES["categorical"][0]}[kind]
    y = labels_for(kind, UNITS)
    found = []
    teacher = network(1, UNITS)
    target = {"labels": y, "teacher_logits": np.asarray(teacher(x))}
    for given, labels in ((teacher, y), (ban_tf.RecordedTeacher(), target)):
        model = ban_tf.BornAgainModel(network(0, UNITS), given, "kd+labels")
        model.compile(sgd(), loss, run_eagerly=True)
        model.fit(x, labels, batch_size=16, shuffle=False, verbose=0)
        found.append(model.student.get_weights())
    for online, recorded in zip(*found, strict=True):
        np.testing.assert_allclose(online, recorded, atol=1e-6)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", ["values", "binary", "categorical"])
def test_several_teachers_count_as_their_mean(kind):
    loss = {"values": "mse", "binary": BINARY, "categorical": LOSSES["categorical"][0]}[kind]
    models = [network(seed, UNITS) for seed in range(3)]
    student, *teachers = raw(models)
    form = {"values": np.float64, "binary": sigmoid, "categorical": softmax}[kind]
    mean = np.mean([form(teacher) for teacher in teachers], axis=0)
    reference = {"values": squared, "binary": binary, "categorical": categorical}[kind]
    history = measure(models[0], models[1:], loss, kind, UNITS)
    np.testing.assert_allclose(
        history["teacher_loss"][0], reference(mean, form(student)), rtol=1e-4
    )


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["values", "binary", "categorical"])
def test_the_ensemble_of_a_lineage_averages_what_its_outputs_are(kind):
    x, _ = data()
    loss = {"values": "mse", "binary": BINARY, "categorical": LOSSES["categorical"][0]}[kind]
    lineage = ban_tf.Lineage(lambda: network(0, UNITS), 1, "kd")
    compile = {"loss": loss, "run_eagerly": True}
    lineage.fit(x, labels_for(kind, UNITS), verbose=0, compile=compile)
    form = {"values": np.float64, "binary": sigmoid, "categorical": softmax}[kind]
    members = [form(np.asarray(lineage.model(number)(x))) for number in (0, 1)]
    mean = lineage.ensemble([0, 1])(x)
    np.testing.assert_allclose(mean, np.mean(members, axis=0), atol=1e-5)
    assert ("teacher_agreement" in lineage.table()[1]) == (kind != "values")


@pytest.mark.parametrize("form", ["sequential", "subclass"])
@pytest.mark.parametrize("name", ["output_kind", "student_activation", "teacher_activation"])
def test_outputs_that_are_not_there_are_not_passed_over(name, form):
    student = network(0, UNITS) if form == "sequential" else Subclass(0, UNITS)
    student(data()[0])
    given = {name: {"other": "categorical" if name == "output_kind" else "linear"}}
    with pytest.raises(ValueError, match=f"`{name}` names the outputs other, but"):
        measure(student, network(1, UNITS), None, "categorical", UNITS, **given)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_probabilities_that_are_compared_as_values_are_not_compared_with_logits(end):
    student = network(0, UNITS, end)
    with pytest.raises(ValueError, match=f"teacher does not end in a {end} as"):
        measure(student, network(1, UNITS), "mse", "binary", UNITS)
    teacher = network(1, UNITS, end)
    found = measure(student, teacher, "mse", "binary", UNITS)["teacher_loss"][0]
    np.testing.assert_allclose(found, squared(*raw([teacher, student])), rtol=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("objective", ["cwtm", "importance", "kd"])
def test_of_a_hinge_loss_a_label_of_minus_one_means_no(loss, objective):
    """As with 0 in its place for a binary cross-entropy: it is not the label for none."""
    (x, _), labels = data(), labels_for("binary", UNITS)
    losses = []
    for compiled, y in ((loss, 2 * labels - 1), (BINARY, labels)):
        model = ban_tf.BornAgainModel(
            network(0, UNITS), network(1, UNITS), objective, label_weight=0.0, distill_void=False
        )
        model.compile(keras.optimizers.SGD(0.0), compiled, run_eagerly=True)
        losses.append(model.fit(x, y, verbose=0).history["teacher_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_lineage_in_doubt_is_refused_before_its_first_step():
    x, _ = data()
    lineage = ban_tf.Lineage(lambda: network(0, UNITS), 1, "cwtm")
    with pytest.raises(ValueError, match="`objective` ConfidenceWeighted is for"):
        lineage.fit(x, labels_for("values", UNITS), verbose=0, compile={"loss": "mse"})
    assert not lineage.generations


@pytest.mark.nightly
def test_the_loss_of_a_teacher_decides_the_kind_of_an_output_without_a_loss():
    def heads(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((6,))
        names = {"kind": CLASSES, "box": 4}
        return keras.Model(inputs, {n: layers.Dense(u, name=n)(inputs) for n, u in names.items()})

    x, y = data()
    student, teacher = heads(0), heads(1)
    teacher.compile("sgd", {"kind": LOSSES["categorical"][0], "box": "mse"})
    model = ban_tf.BornAgainModel(student, teacher, {"box": "kd"})
    loss = {"kind": LOSSES["categorical"][0]}
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    given, own = (np.asarray(network(x)["box"]) for network in (teacher, student))
    labels = {"kind": y, "box": np.zeros((len(x), 4), "float32")}
    history = model.fit(x, labels, batch_size=32, verbose=0).history
    np.testing.assert_allclose(history["teacher_loss"][0], squared(given, own), rtol=1e-4)


@pytest.mark.nightly
def test_the_arguments_are_saved(tmp_path):
    x, _ = data()
    student = network(0, UNITS)
    model = ban_tf.BornAgainModel(student, network(1, UNITS), "huber", output_kind="values")
    model.compile("sgd", "mse")
    model.fit(x, labels_for("values", UNITS), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.output_kind == "values" and loaded.objective.delta == 1.0
