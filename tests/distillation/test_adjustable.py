"""Weights, temperature and objective change while a model trains: assigned, or by a schedule."""

import jax_process
import keras
import numpy as np
import pytest
from twins import CLASSES, data, network, sgd

import ban_tf
from ban_tf import objectives

SCE = keras.losses.SparseCategoricalCrossentropy


def log_softmax(logits):
    logits = np.float64(logits)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(teacher, student, temperature=1.0):
    log_p, log_q = (log_softmax(np.float64(z) / temperature) for z in (teacher, student))
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean()


def cross_entropy(labels, student):
    return -log_softmax(student)[np.arange(len(labels)), labels].mean()


class CountedTraces(objectives.KD):
    """Knowledge distillation that counts how often a step is traced."""

    traces = 0

    def losses(self, *arguments, **options):
        type(self).traces += 1
        return super().losses(*arguments, **options)


@pytest.fixture
def counted():
    CountedTraces.traces = 0
    return CountedTraces


class Assign(keras.callbacks.Callback):
    """Assigns attributes of the model when an epoch (or a step) begins."""

    def __init__(self, by_epoch, step=None):
        super().__init__()
        self.by_epoch, self.step, self.epoch = by_epoch, step, 0

    def assign(self):
        for name, value in self.by_epoch[self.epoch].items():
            setattr(self.model, name, value)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.step is None:
            self.assign()

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.step:
            self.assign()


def still(objective="kd", teacher=None, **options):
    """A student that stands still, so that each epoch's loss can be computed by itself."""
    teacher = network(1) if teacher is None else teacher
    model = ban_tf.BornAgainModel(network(), teacher, objective, **options)
    model.compile(keras.optimizers.SGD(0.0), loss=SCE(from_logits=True))
    return model


@pytest.fixture(scope="module")
def unchanged():
    """A model that refuses what it is assigned."""
    return still(temperature=2.0)


def losses(model, epochs, callbacks=None, **fit):
    x, y = data()
    options = {"batch_size": len(x), "verbose": 0, **fit}
    return model.fit(x, y, epochs=epochs, callbacks=callbacks, **options).history["loss"]


def logits(model):
    x, _ = data()
    return np.asarray(model.teacher.models[0](x)), np.asarray(model.student(x))


def expected(model, label_weight, teacher_weight, temperature=1.0):
    teacher, student = logits(model)
    return label_weight * cross_entropy(data()[1], student) + teacher_weight * divergence(
        teacher, student, temperature
    )


SETTINGS = [(1.0, 0.0, 1.0), (0.0, 1.0, 3.0), (0.25, 0.5, 0.5), (0.0, 2.0, 20.0)]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("first", "options"),
    [
        *((0.5, {}), (0.0, {}), (0.0, {"run_eagerly": True}), (0.0, {"jit_compile": True})),
        *((0.5, {"run_eagerly": True}), (0.5, {"jit_compile": True})),
    ],
)
def test_what_a_callback_assigns_counts_from_the_next_step_without_a_trace(counted, first, options):
    names = ("label_weight", "teacher_weight", "temperature")
    by_epoch = [dict(zip(names, values, strict=True)) for values in SETTINGS]
    model = still(counted(), label_weight=first)
    model.compile(keras.optimizers.SGD(0.0), loss=SCE(from_logits=True), **options)
    losses(model, 1)
    traces = counted.traces
    found = losses(model, len(by_epoch), [Assign(by_epoch)])
    np.testing.assert_allclose(found, [expected(model, *name) for name in SETTINGS], rtol=1e-5)
    if not options.get("run_eagerly"):
        assert counted.traces == traces > 0
    assert (model.label_weight, model.teacher_weight, model.temperature) == SETTINGS[-1]
    assert model.objective.temperature == SETTINGS[-1][-1]


@pytest.mark.nightly
def test_within_an_epoch_the_next_step_takes_what_was_assigned():
    model, (_, y) = still(label_weight=0.0), data()
    halves = []
    for part, weight, temperature in ((slice(16), 0.0, 1.0), (slice(16, None), 2.0, 3.0)):
        teacher, student = (logit[part] for logit in logits(model))
        halves.append(
            weight * cross_entropy(y[part], student) + divergence(teacher, student, temperature)
        )
    assign = Assign([{"label_weight": 2.0, "temperature": 3.0}], step=0)
    found = losses(model, 1, [assign], batch_size=16, shuffle=False)
    np.testing.assert_allclose(found, [np.mean(halves)], rtol=1e-5)


@pytest.mark.nightly
def test_the_gradient_follows_what_was_assigned():
    model, other = (
        ban_tf.BornAgainModel(network(), network(1), "kd", **options)
        for options in ({}, {"label_weight": 0.3, "teacher_weight": 0.6, "temperature": 2.0})
    )
    x, y = data()
    for item in (model, other):
        item.compile(sgd())
    model.train_on_batch(x, y)
    model.student.set_weights(network().get_weights())
    model.label_weight, model.teacher_weight, model.temperature = 0.3, 0.6, 2.0
    for variable in model.optimizer.variables[2:]:
        variable.assign(np.zeros(variable.shape))
    model.train_on_batch(x, y)
    other.train_on_batch(x, y)
    for one, two in zip(model.student.get_weights(), other.student.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.nightly
def test_labels_of_weight_zero_cannot_harm():
    """Their loss has an infinite gradient; zero times that would be no number."""

    def root(labels, outputs):
        return keras.ops.sqrt(keras.ops.sum(0.0 * outputs, axis=-1))

    x, y = data()
    harmed, plain = (
        ban_tf.BornAgainModel(network(), network(1), "kd", output_kind="categorical")
        for _ in range(2)
    )
    harmed.compile(sgd(), loss=root)
    plain.compile(sgd())
    for model in (harmed, plain):
        model.train_on_batch(x, y)
    for one, two in zip(harmed.student.get_weights(), plain.student.get_weights(), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, atol=1e-7)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("within", [False, True])
def test_an_assigned_objective_is_matched_from_the_next_step(within):
    model = still()
    losses(model, 1)
    if within:
        found = losses(model, 2, [Assign([{}, {"objective": objectives.BAN(4.0)}])])[1]
    else:
        model.objective = objectives.BAN(4.0)
        found = losses(model, 1)[0]
    np.testing.assert_allclose(found, expected(model, 0.0, 1.0, 4.0), rtol=1e-5)


@pytest.mark.nightly
def test_an_assigned_objective_brings_its_label_weight_unless_one_was_given():
    follows, given = still("kd"), still("kd", label_weight=0.25)
    for model in (follows, given):
        model.objective = "kd+labels"
    assert (follows.label_weight, given.label_weight) == (1.0, 0.25)
    np.testing.assert_allclose(losses(follows, 1), [expected(follows, 1.0, 1.0)], rtol=1e-5)
    follows.objective = "cwtm"
    assert follows.label_weight == 0.0 and follows.temperature is None


@pytest.mark.nightly
def test_labels_alone_may_take_turns_with_a_teacher():
    model = still("labels")
    assert "teacher_loss" not in model.evaluate(*data(), verbose=0, return_dict=True)
    turns = [{}, {"objective": "kd"}, {"objective": "labels"}]
    found = losses(model, 3, [Assign(turns)])
    labels, teacher = expected(model, 1.0, 0.0), expected(model, 0.0, 1.0)
    np.testing.assert_allclose(found, [labels, teacher, labels], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label_weight", -1, "`label_weight` must be a finite number of at least 0. Received: -1"),
        ("label_weight", "1", "`label_weight` must be a finite number.* Received: '1'"),
        ("teacher_weight", float("nan"), "`teacher_weight` must be a finite number of at least 0"),
        (
            "label_weight",
            lambda: 0.5,
            "`label_weight` must be a number, or a function of the epoch",
        ),
        ("temperature", lambda epoch, step: 2.0, "`temperature` must be a number, or a function"),
        ("teacher_weight", lambda epoch: -0.5, "`teacher_weight` .* Received: -0.5"),
        ("temperature", 0.0, "`temperature` must be positive and finite"),
        ("temperature", None, "`temperature` must be positive and finite. Received: None"),
        ("objective", "kdd", "unknown; did you mean kd"),
        ("objective", {"other": "kd"}, "`objective` names the outputs other"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(name, value, message, unchanged):
    before = getattr(unchanged, name)
    with pytest.raises(ValueError, match=message):
        setattr(unchanged, name, value)
    assert getattr(unchanged, name) == before
    if value is not None:
        with pytest.raises(ValueError, match=message):
            still(**{name: value})


def test_a_temperature_is_refused_where_there_is_none():
    model = still("cwtm")
    for value in (2.0, lambda epoch: 2.0 + epoch):
        with pytest.raises(
            ValueError, match=r"`temperature` is 2.0, but ConfidenceWeighted has no"
        ):
            model.temperature = value
        with pytest.raises(
            ValueError, match=r"`temperature` is 2.0, but ConfidenceWeighted has no"
        ):
            still("cwtm", temperature=value)


class NumberOnly(objectives.Objective):
    """An objective whose temperature must be a number."""

    def __init__(self, temperature=1.0):
        self.temperature = float(temperature)

    def losses(self, labels, teacher_logits, student_logits, *, sample_weight=None, seed=None):
        scaled = [z / float(self.temperature) for z in (teacher_logits, student_logits)]
        return self.temperature**2 * keras.ops.sum((scaled[0] - scaled[1]) ** 2, axis=-1)

    def get_config(self):
        return {"temperature": self.temperature}


@pytest.mark.nightly
def test_a_temperature_that_must_be_a_number_is_assigned_by_another_trace():
    model = still(NumberOnly())
    found = losses(model, 2, [Assign([{}, {"temperature": 5.0}])])
    teacher, student = logits(model)
    np.testing.assert_allclose(found, [((teacher - student) ** 2).sum(-1).mean()] * 2, rtol=1e-5)
    assert model.objective.temperature == 5.0


@pytest.mark.nightly
def test_outputs_of_different_temperatures_keep_them_until_one_is_assigned():
    def build(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((6,))
        outputs = {name: keras.layers.Dense(CLASSES, name=name)(inputs) for name in "ab"}
        return keras.Model(inputs, outputs)

    x, y = data()
    teacher = build(1)
    model = ban_tf.BornAgainModel(
        build(0), teacher, {"a": objectives.KD(2.0), "b": objectives.KD(4.0)}, label_weight=0.0
    )
    model.compile(keras.optimizers.SGD(0.0))
    assert model.temperature is None
    theirs, ours = (network(x) for network in (teacher, model.student))
    found = model.fit(
        x, {"a": y, "b": y}, epochs=2, batch_size=32, verbose=0,
        callbacks=[Assign([{}, {"temperature": 3.0}])],
    ).history["teacher_loss"]  # fmt: skip
    wanted = [
        divergence(theirs["a"], ours["a"], first) + divergence(theirs["b"], ours["b"], second)
        for first, second in ((2.0, 4.0), (3.0, 3.0))
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert model.temperature == 3.0


def of_own_loss(y_true, y_pred):
    return keras.ops.mean(y_pred, axis=-1)


@pytest.mark.nightly
@pytest.mark.parametrize("within", [False, True])
def test_what_outputs_and_labels_mean_is_assigned_with_another_trace(within):
    x, y = data()
    y = np.where(np.arange(len(y)) % 3, y, -1)
    model = ban_tf.BornAgainModel(
        network(), network(1), "kd", output_kind="categorical", label_weight=0.0
    )
    model.compile(keras.optimizers.SGD(0.0), of_own_loss)
    changes = [{}, {"distill_void": False}, {"output_kind": "values", "distill_void": True}]
    teacher, student = logits(model)
    if within:
        callbacks = [Assign(changes)]
        found = model.fit(
            x, y, epochs=3, batch_size=len(x), verbose=0, callbacks=callbacks
        ).history["teacher_loss"]
    else:
        found = []
        for change in changes:
            for name, value in change.items():
                setattr(model, name, value)
            found += model.fit(x, y, batch_size=len(x), verbose=0).history["teacher_loss"]
    wanted = [
        divergence(teacher, student),
        divergence(teacher[y >= 0], student[y >= 0]),
        ((teacher - student) ** 2).mean(),
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_a_teacher_ends_in_may_be_assigned():
    model = ban_tf.BornAgainModel(network(), network(1, activation=keras.ops.softmax), "kd")
    model.compile(keras.optimizers.SGD(0.0))
    model.teacher_activation = "softmax"
    assert model.teacher.activation == "softmax"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_kind", "box"),
        ("student_activation", "relu"),
        ("teacher_activation", 3),
        ("distill_void", "no"),
        ("check_data", None),
    ],
)
def test_other_settings_are_checked_when_they_are_assigned(name, value, unchanged):
    before = getattr(unchanged, name)
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        setattr(unchanged, name, value)
    assert getattr(unchanged, name) == before


@pytest.mark.nightly
def test_kd_needs_no_labels_until_they_are_to_count():
    x, _ = data()
    model = ban_tf.BornAgainModel(network(), network(1), "kd")
    model.compile(sgd())
    model.fit(x, verbose=0)
    assert model.label_weight == 0.0
    model.label_weight = 0.5
    with pytest.raises(ValueError, match=r"`y` is None, but labels count by `label_weight` 0.5"):
        model.fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"`y` is None, but labels count"):
        model.train_on_batch(x)


def test_numbers_are_no_weights_of_the_model():
    model, plain = still(), network()
    model.predict(data()[0], verbose=0)
    numbers = {"label_weight", "teacher_weight", "temperature"}
    assert not numbers & {weight.name for weight in model.weights}
    assert numbers <= {variable.name for variable in model.variables}
    assert len(model.trainable_variables) == len(plain.trainable_variables)


def halving(epoch):
    return 0.5**epoch


def rising(epoch):
    return 1.0 + epoch


SCHEDULES = {"label_weight": halving, "teacher_weight": rising, "temperature": rising}


def at(epoch):
    return (halving(epoch), rising(epoch), rising(epoch))


def test_schedules_give_each_epoch_its_numbers_without_a_trace(counted):
    model = still(counted(), **SCHEDULES)
    losses(model, 1)
    traces = counted.traces
    found = losses(model, 4)
    np.testing.assert_allclose(
        found, [expected(model, *at(number)) for number in range(4)], rtol=1e-5
    )
    assert counted.traces == traces
    assert model.temperature == 4.0
    resumed = still(counted(), **SCHEDULES)
    whole_list = keras.callbacks.CallbackList(add_history=True, model=resumed, epochs=4)
    late = [
        *losses(resumed, 3, initial_epoch=2),
        *losses(resumed, 4, whole_list, initial_epoch=3),
    ]
    np.testing.assert_allclose(late, found[2:], rtol=1e-6)
    # An assigned number takes the place of the schedule.
    resumed.label_weight, resumed.teacher_weight, resumed.temperature = 1.0, 0.5, 2.0
    np.testing.assert_allclose(
        losses(resumed, 2), [expected(resumed, 1.0, 0.5, 2.0)] * 2, rtol=1e-5
    )


def test_labels_that_a_schedule_lets_count_later_must_be_there():
    x, _ = data()
    model = still("kd", label_weight=lambda epoch: float(epoch))
    with pytest.raises(ValueError, match=r"`y` is None, but labels count by `label_weight`"):
        model.fit(x, verbose=0)


@pytest.mark.nightly
def test_callbacks_may_be_given_by_position():
    x, y = data()
    model = still("kd", label_weight=rising)
    model.fit(x, y, 32, 2, 0, [Assign([{}, {"teacher_weight": 0.0}])])
    assert (model.label_weight, model.teacher_weight) == (2.0, 0.0)


@pytest.mark.nightly
def test_numbers_and_schedules_are_there_after_loading(tmp_path):
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    model = still("kd", label_weight=decay, teacher_weight=0.7, temperature=rising)
    model.teacher_weight = 0.3
    model.save(tmp_path / "whole.keras", include_teacher=True)
    again = keras.models.load_model(tmp_path / "whole.keras")
    assert again.teacher_weight == 0.3
    np.testing.assert_allclose(losses(again, 3), losses(model, 3), rtol=1e-6)
    assert (again.label_weight, again.temperature) == (0.5, 3.0)


def test_a_schedule_without_a_name_is_refused_when_saved(tmp_path):
    model = still("kd", label_weight=lambda epoch: 0.5)
    with pytest.raises(ValueError, match=r"`label_weight` .* has no name to save"):
        model.save(tmp_path / "whole.keras")


@pytest.mark.nightly
def test_a_lineage_takes_schedules_and_resumes_them(tmp_path):
    x, y = data()

    def run(directory, epochs):
        lineage = ban_tf.Lineage(
            network, 1, "kd", directory, label_weight=halving, temperature=rising,
            teacher_weight=rising,
        )  # fmt: skip
        compile = {"optimizer": sgd, "run_eagerly": True}
        return lineage.fit(
            x, y, epochs=epochs, batch_size=32, shuffle=False, verbose=0, compile=compile
        )

    class Stop(Exception):
        pass

    straight = run(tmp_path / "straight", 4)

    class Stopping(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise Stop

    lineage = ban_tf.Lineage(
        network, 1, "kd", tmp_path / "resumed", label_weight=halving, temperature=rising,
        teacher_weight=rising,
    )  # fmt: skip
    with pytest.raises(Stop):
        lineage.fit(
            x, y, epochs=4, batch_size=32, shuffle=False, verbose=0,
            compile={"optimizer": sgd, "run_eagerly": True},
            callbacks=lambda number: [Stopping()] if number == 1 else [],
        )  # fmt: skip
    del lineage
    resumed = run(tmp_path / "resumed", 4)
    rows = [row for row in straight.history if row["generation"] == 1]
    for epoch, row in enumerate(rows):
        label, teacher, _ = at(epoch)
        total = label * row["label_loss"] + teacher * row["teacher_loss"]
        np.testing.assert_allclose(row["loss"], total, rtol=1e-5)
    for one, two in zip(
        straight.generations[1].weights, resumed.generations[1].weights, strict=True
    ):
        np.testing.assert_array_equal(one, two)


ON_JAX = """
import json
import keras, numpy as np
import ban_tf
from ban_tf import objectives
random = np.random.default_rng(0)
x, y = random.normal(size=(32, 6)).astype("float32"), random.integers(0, 4, 32)

def linear(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])

class Counted(objectives.KD):
    traces = 0
    def losses(self, *arguments, **options):
        Counted.traces += 1
        return super().losses(*arguments, **options)

class Assign(keras.callbacks.Callback):
    def __init__(self, by_step):
        super().__init__()
        self.by_step, self.traces = by_step, []
    def on_train_batch_begin(self, batch, logs=None):
        for name, value in self.by_step[batch].items():
            setattr(model, name, value)  # not self.model, which would synchronize first
    def on_train_batch_end(self, batch, logs=None):
        self.traces.append(Counted.traces)

def steps(by_step):
    seen = []
    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(logs["loss"]))
    assign = Assign(by_step)
    batches = np.tile(x, (len(by_step), 1)), np.tile(y, len(by_step))
    model.fit(*batches, batch_size=32, shuffle=False, verbose=0, callbacks=[assign, Watch()])
    means = np.array(seen)
    counts = np.arange(1, len(means) + 1)
    return np.diff(means * counts, prepend=0.0).tolist(), assign.traces

model = ban_tf.BornAgainModel(linear(0), teacher := linear(1), Counted())
model.compile(keras.optimizers.SGD(0.0))
found = {"teacher": teacher.predict(x, verbose=0).tolist(), "y": y.tolist()}
found["student"] = model.student.predict(x, verbose=0).tolist()
found["losses"], found["traces"] = steps([
    {"label_weight": 0.7}, {"label_weight": 0.0, "teacher_weight": 0.3, "temperature": 3.0},
    {"label_weight": 1.0, "teacher_weight": 1.0, "temperature": 1.0},
    {"objective": objectives.KD(4.0)},
])
found["numbers"] = [model.label_weight, model.teacher_weight, model.temperature]
model = ban_tf.BornAgainModel(
    linear(0), linear(1), "kd", label_weight=lambda e: 0.1 * e, temperature=lambda e: 1.0 + e
)
model.compile(keras.optimizers.SGD(0.0))
found["scheduled"] = model.fit(x, y, epochs=3, verbose=0).history["loss"]
print(json.dumps(found))
"""


@pytest.mark.nightly
@jax_process.needed
def test_compiled_jax_steps_take_what_is_assigned():
    found = jax_process.run(ON_JAX)
    teacher, student, labels = (np.array(found[name]) for name in ("teacher", "student", "y"))

    def total(label_weight, teacher_weight, temperature):
        return label_weight * cross_entropy(labels, student) + teacher_weight * divergence(
            teacher, student, temperature
        )

    expected = [(0.7, 1.0, 1.0), (0.0, 0.3, 3.0), (1.0, 1.0, 1.0), (1.0, 1.0, 4.0)]
    np.testing.assert_allclose(found["losses"], [total(*entry) for entry in expected], rtol=1e-4)
    assert found["traces"][0] == found["traces"][2], "another number was another trace"
    assert found["numbers"] == [1.0, 1.0, 4.0]
    np.testing.assert_allclose(
        found["scheduled"],
        [total(0.1 * number, 1.0, 1.0 + number) for number in range(3)],
        rtol=1e-4,
    )
