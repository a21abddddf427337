"""Arguments of `Lineage` and `Lineage.fit` that are refused before anything is trained."""

import keras
import numpy as np
import pytest

import ban_tf

layers = keras.layers
X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X[:, :3].argmax(-1)


def network():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, {"a": layers.Dense(3)(inputs), "b": layers.Dense(2)(inputs)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"generations": "2"}, "`generations` must be an integer of at least 0. Received: '2'"),
        ({"generations": True}, "`generations` must be an integer"),
        ({"generations": 1.5}, "`generations` must be an integer"),
        ({"generations": None}, "`generations` must be an integer"),
        ({"seed": None}, "`seed` must be an integer"),
        ({"seed": "a"}, "`seed` must be an integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"teacher": 3}, "`teacher` must be one of"),
        ({"keep": None}, "`keep` must be one of"),
        ({"on_divergence": "go"}, "`on_divergence` must be one of"),
        ({"on_divergence": "retry"}, "give a `directory`"),
        ({"chance": 1.1}, "`chance` must be an accuracy from 0 to 1"),
        ({"chance": "0.1"}, "`chance` must be an accuracy from 0 to 1"),
        ({"directory": 7}, "`directory` must be a path"),
        ({"directory": ""}, "`directory` is empty"),
        ({"first_model": "teacher.keras"}, "`first_model` must be a trained Keras model"),
        ({"first_model": keras.Sequential([layers.Dense(3)])}, "`first_model` .* no weights yet"),
        ({"student_build": 3}, "`student_build` must be a Keras model or a function"),
        ({"share_ends": 1}, "`share_ends` must be True or False"),
        ({"stop": True}, "`stop` must be a function"),
        ({"settings": ["width"]}, "`settings` must be a dictionary"),
        ({"workers": 2}, "`workers` must be"),
        ({"teacher_precision": 16}, "`teacher_precision` must be the name of a dtype policy"),
        ({"teacher_wieght": 2.0}, "no argument `teacher_wieght`; did you mean `teacher_weight`"),
        ({"kepe": "best"}, "did you mean `keep`"),
        ({"epochs": 3}, "`Lineage` has no argument `epochs`"),
        ({"label_weight": -1.0}, "`label_weight` must be"),
        ({"teacher_weight": float("nan")}, "`teacher_weight` must be"),
        ({"temperature": -3.0}, "`temperature` must be positive"),
        ({"label_weight": lambda: 1.0}, "`label_weight` must be a number, or a function"),
        ({"label_weight": 0.0, "teacher_weight": 0.0}, "are both 0"),
        ({"objective": "kd", "teacher_weight": 0}, "are both 0"),
        ({"objective": "cwtm", "temperature": 2.0}, "no temperature"),
        ({"objective": 5}, "`objective` must be"),
        ({"objective": {"c": "kd"}}, "`objective` names"),
        ({"student_activation": "relu"}, "`student_activation` must be one of"),
        ({"student_build": two_outputs}, "`teacher` has no output"),
        (
            {"student_build": lambda: keras.Sequential([keras.Input((4,)), layers.Dense(5)])},
            "has 3 classes, .*MappedTeacher",
        ),
    ],
)
def test_bad_arguments_are_refused_in_the_constructor(arguments, message):
    with pytest.raises(ValueError, match=message):
        ban_tf.Lineage(network, **arguments)


@pytest.mark.parametrize("name", ["build", "student_build"])
def test_a_function_that_needs_arguments_is_refused(name):
    with pytest.raises(ban_tf.errors.InputError, match=f"`{name}` must be a function that takes"):
        ban_tf.Lineage(**{"build": network, name: lambda width: network()})


def test_validation_data_may_have_no_labels():
    """They count in the first generation, which has no teacher, so they are required."""
    model = ban_tf.BornAgainModel(network(), network(), "kd")
    model.compile("sgd", run_eagerly=True)
    history = model.fit(X, Y, validation_data=(X,), verbose=0).history
    assert history["val_loss"] == history["val_teacher_loss"]
    with pytest.raises(ban_tf.errors.InputError, match="`y` is None"):
        ban_tf.Lineage(network, 0).fit(X, Y, validation_data=(X,), verbose=0)


def test_a_refused_directory_is_free_again(tmp_path):
    with pytest.raises(ValueError, match="`chance`"):
        ban_tf.Lineage(network, directory=tmp_path, chance=2)
    ban_tf.Lineage(network, directory=tmp_path).directory.close()


@pytest.mark.nightly
def test_numpy_numbers_and_any_path_are_taken(tmp_path):
    lineage = ban_tf.Lineage(
        network, generations=np.int64(0), seed=np.int32(3), chance=np.float32(0.1)
    )
    compile = {"optimizer": "sgd", "metrics": ["accuracy"]}
    options = {"validation_data": (X, Y), "shuffle": np.bool_(True)}
    lineage.fit(X, Y, epochs=np.int64(1), verbose=0, compile=compile, **options)
    assert [row["epoch"] for row in lineage.history] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "`epochs` must be an integer of at least 1. Received: 0"),
        ({"epochs": -1}, "`epochs` must be an integer"),
        ({"epochs": 2.0}, "`epochs` must be an integer"),
        ({"epochs": "2"}, "`epochs` must be an integer"),
        ({"compile": "adam"}, r"`compile` must be a dictionary.*Received: 'adam'"),
        ({"compile": keras.optimizers.Adam()}, "`compile` must be a dictionary"),
        ({"compile": {"optimiser": "adam"}}, "did you mean `optimizer`"),
        ({"compile": lambda epochs: "adam"}, "`compile` must be a dictionary"),
        ({"callbacks": keras.callbacks.EarlyStopping()}, "`callbacks` must be a list"),
        ({"callbacks": [print]}, "`callbacks` must be a list"),
        ({"callbacks": lambda: []}, "`callbacks` must be a function of the generation's number"),
        ({"callbacks": lambda n: None}, r"must return a list .*\[\] for none; .* returned None"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer of at least 1"),
        ({"batch_size": -8}, "`batch_size` must be an integer of at least 1"),
        ({"checkpoint_steps": 5}, "`checkpoint_steps` saves within an epoch"),
        ({"initial_epoch": 1}, "no argument `initial_epoch`"),
        ({"validation_date": (X, Y)}, "did you mean `validation_data`"),
        ({"compile": {"optimizer": None}}, "`compile` must have an optimizer"),
        ({"compile": {"optimizer": 0.1}}, "`compile` must have an optimizer"),
        ({"compile": {"optimizer": lambda: None}}, "'optimizer' that returned None"),
        ({"validation_split": 1.5}, "`validation_split` must be a fraction .* Received: 1.5"),
        ({"validation_split": -0.5}, "`validation_split` must be a fraction"),
        ({"validation_split": 1}, "`validation_split` must be a fraction"),
        ({"validation_split": "half"}, "`validation_split` must be a fraction"),
        ({"validation_freq": 0}, "`validation_freq` must be an integer of at least 1"),
        ({"validation_freq": [1, 0]}, "`validation_freq` must be an integer of at least 1"),
        ({"validation_freq": np.int64(2)}, "`validation_freq` must be an int of Python"),
        ({"validation_freq": "2"}, "`validation_freq` must be an integer of at least 1"),
        ({"validation_data": 3}, "`validation_data` must be a dataset, or a tuple"),
        ({"validation_data": (X, Y, Y, Y)}, "`validation_data` must be a dataset, or a tuple"),
        ({"shuffle": "x"}, "`shuffle` must be True, False or 'batch'. Received: 'x'"),
        ({"shuffle": 3}, "`shuffle` must be True, False"),
        ({"class_weight": [1.0, 2.0, 3.0]}, "`class_weight` must be a dictionary"),
    ],
)
def test_bad_arguments_of_fit_are_refused_before_a_step(arguments, message):
    lineage = ban_tf.Lineage(network, generations=1)
    with pytest.raises(ban_tf.errors.InputError, match=message):
        lineage.fit(X, Y, verbose=0, **arguments)
    assert lineage.generations == []


@pytest.mark.parametrize("verbose", ["x", 3, -1, None, 0.5])
def test_a_verbosity_that_keras_has_not_is_refused(verbose):
    with pytest.raises(ban_tf.errors.InputError, match="`verbose` must be 'auto', 0, 1 or 2"):
        ban_tf.Lineage(network, generations=0).fit(X, Y, verbose=verbose)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distill_void": "no"}, "`distill_void` must be True or False. Received: 'no'"),
        ({"check_data": 3}, "`check_data` must be True or False. Received: 3"),
        ({"seed": "a"}, "`seed` must be an integer of at least 0"),
        ({"seed": 1.5}, "`seed` must be an integer of at least 0"),
    ],
)
def test_bad_arguments_of_a_student_are_refused(arguments, message):
    with pytest.raises(ban_tf.errors.InputError, match=message):
        ban_tf.BornAgainModel(network(), **arguments)
    if "seed" not in arguments:
        with pytest.raises(ban_tf.errors.InputError, match=message):
            ban_tf.Lineage(network, **arguments)


@pytest.mark.nightly
def test_generations_are_named_by_integers_of_any_kind():
    lineage = ban_tf.Lineage(network, generations=1)
    lineage.fit(X, Y, verbose=0, compile={"optimizer": "sgd", "run_eagerly": True})
    expected = lineage.ensemble([0, 1]).predict(X, verbose=0)
    for members in (np.array([0, 1]), (0, 1), range(2), iter([0, np.int64(-1)])):
        found = lineage.ensemble(members).predict(X, verbose=0)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        lineage.model(np.int64(1)).predict(X, verbose=0), lineage.model(1).predict(X, verbose=0)
    )
    for number in (1.0, "1", None, True, np.array([1])):
        with pytest.raises(ban_tf.errors.InputError, match="There is no generation"):
            lineage.model(number)
    for members in (np.int64(1), 1, "01", [], np.array([]), np.array(1), {0: 1}):
        with pytest.raises(ban_tf.errors.InputError, match="`members` must be a list"):
            lineage.ensemble(members)
    for members in ([0.0, 1.0], np.array([[0, 1]])):
        with pytest.raises(ban_tf.errors.InputError, match="There is no generation"):
            lineage.ensemble(members)


def _backbone(*further, trainable=False):
    backbone = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "tanh", kernel_initializer=keras.initializers.GlorotUniform(3)),
            layers.BatchNormalization(),
            *further,
        ],
        name="backbone",
    )
    backbone.trainable = trainable
    return backbone


def _with_head(make_backbone):
    head, inputs = layers.Dense(3, name="head"), keras.Input((4,))
    return keras.Model(inputs, head(make_backbone()(inputs)))


@pytest.mark.nightly
def test_a_frozen_backbone_serves_all_generations(tmp_path):
    """It is as if every generation had a frozen backbone of its own with these weights."""
    shared = _backbone()
    before = shared.get_weights()
    weights = []
    for build in (lambda: _with_head(lambda: shared), lambda: _with_head(_backbone)):
        lineage = ban_tf.Lineage(build, generations=2, directory=tmp_path / str(len(weights)))
        lineage.fit(
            X,
            Y,
            epochs=3,
            verbose=0,
            shuffle=False,
            compile={"optimizer": "adam", "run_eagerly": True},
        )
        weights.append([generation.weights for generation in lineage.generations])
        loaded = keras.models.load_model(lineage.directory.path / "generation-2" / "model.keras")
        expected = lineage.model(2)(X)
        np.testing.assert_array_equal(loaded(X), expected)
        softmax = [
            np.exp(z) / np.exp(z).sum(-1, keepdims=True)
            for z in (lineage.model(k)(X).numpy().astype("float64") for k in (1, 2))
        ]
        ensemble = lineage.ensemble()(X)
        np.testing.assert_allclose(ensemble, np.mean(softmax, axis=0), atol=1e-6)
    for ours, theirs in zip(*weights, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(before, shared.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(weights[0][1][-2], weights[0][2][-2])


@pytest.mark.nightly
def test_a_resumed_run_draws_the_same_dropout_in_a_shared_backbone(tmp_path):
    """Other processes begin with another count of draws and another seed of the layer."""
    arguments = {"epochs": 2, "verbose": 0, "shuffle": False, "compile": {"optimizer": "adam"}}
    weights = []
    for directory, steps, seed in (("whole", (2,), 1), ("resumed", (0, 1, 2), 2)):
        for generations in steps:
            shared = _backbone(layers.Dropout(0.5, seed=seed + generations))
            lineage = ban_tf.Lineage(
                lambda shared=shared: _with_head(lambda: shared),
                generations,
                directory=tmp_path / directory,
            )
            lineage.fit(X, Y, **arguments)
            lineage.directory.close()
        weights.append([generation.weights for generation in lineage.generations])
    for ours, theirs in zip(*weights, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def _statistics_move():
    backbone = _backbone()
    backbone.layers[1].trainable = True
    for variable in backbone.layers[1].trainable_variables:
        variable.trainable = False
    return backbone


def _stateful():
    inputs = keras.Input(batch_shape=(8, 4))
    sequence = layers.Reshape((4, 1))(inputs)
    model = keras.Model(inputs, layers.LSTM(2, stateful=True)(sequence))
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        (lambda: _backbone(trainable=True), "kernel"),
        (_statistics_move, "moving_mean"),
        (_stateful, "lstm"),
    ],
)
def test_a_shared_layer_that_training_changes_is_refused(backbone, names):
    shared = backbone()
    with pytest.raises(ValueError, match=f"`build` returns networks that share weights.*{names}"):
        ban_tf.Lineage(lambda: _with_head(lambda: shared), generations=1, objective="labels")
    with pytest.raises(ValueError, match=f"`teacher` shares weights.*{names}"):
        ban_tf.BornAgainModel(_with_head(lambda: shared), teacher=_with_head(lambda: shared))


def test_a_frozen_teacher_may_be_a_part_of_its_student():
    teacher = _with_head(_backbone)
    teacher.trainable = False
    inputs = keras.Input((4,))
    student = keras.Model(inputs, layers.Dense(3)(teacher(inputs)))
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd")
    model.compile("sgd", run_eagerly=True)
    before = teacher.get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_generations_that_are_not_there_are_named():
    lineage = ban_tf.Lineage(network, generations=0)
    with pytest.raises(ValueError, match="no generation 0: none is trained yet"):
        lineage.model(0)
    lineage.fit(X, Y, verbose=0, compile={"optimizer": "sgd", "run_eagerly": True})
    with pytest.raises(ValueError, match="no generation 1: there are generations 0 to 0"):
        lineage.model(1)
    with pytest.raises(ValueError, match="no generation '0'"):
        lineage.ensemble(["0"])
    for members in ([], 0, "0"):
        with pytest.raises(ValueError, match="`members` must be a list"):
            lineage.ensemble(members)
