"""The generational loop: who teaches whom, what is kept, and resuming after a kill."""

import os
import signal
import sys

import keras
import numpy as np
import pytest
import warm

import ban_tf
from ban_tf.errors import RunDirectoryError


def _build():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )


def _data(examples=64):
    x = np.random.default_rng(0).normal(size=(examples, 6)).astype("float32")
    return x, x[:, :3].argmax(-1)


COMPILE = {
    "optimizer": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "metrics": ["accuracy"],
}


def _fit(lineage, **changes):
    x, y = _data()
    arguments = {"epochs": 3, "batch_size": 16, "shuffle": False, "compile": COMPILE}
    return lineage.fit(x, y, **{**arguments, **changes})


def _fit_quickly(lineage, **changes):
    """One eager step in each epoch, where it does not matter how steps are executed."""
    compile = {**COMPILE, "run_eagerly": True}
    return _fit(lineage, **{"epochs": 1, "batch_size": 64, "compile": compile, **changes})


@pytest.fixture(scope="module")
def taught():
    return _fit(ban_tf.Lineage(_build, generations=2, objective="kd", seed=5))


def test_every_generation_is_fresh_and_learns_from_the_one_before(taught):
    assert [generation.taught_by for generation in taught.generations] == [
        "labels",
        "generation 0",
        "generation 1",
    ]
    kernels = [generation.weights[0] for generation in taught.generations]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])
    assert [row["generation"] for row in taught.history] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert all(np.isfinite(row["loss"]) for row in taught.history)
    assert "teacher_agreement" in taught.generations[1].history[0]


def test_a_generation_equals_the_same_training_by_hand(taught):
    """Models that are used again carry nothing over from the generation before."""
    from ban_tf.system import seeds

    x, y = _data()
    with seeds.seeded(seeds.derive_seed(5, "weights", 2)):
        student = _build()
    model = ban_tf.BornAgainModel(student, teacher=taught.model(1), objective="kd")
    model.compile(COMPILE["optimizer"](), metrics=["accuracy"])
    model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
    for ours, theirs in zip(taught.generations[2].weights, student.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_optimizer_that_starts_from_the_weights_starts_from_those_of_its_generation():
    from ban_tf.system import seeds

    def optimizer():
        return keras.optimizers.ScheduleFreeAdamW(0.05)

    lineage = ban_tf.Lineage(_build, generations=1, objective="labels", seed=5)
    _fit(lineage, compile={**COMPILE, "optimizer": optimizer})
    for generation in lineage.generations:
        with seeds.seeded(seeds.derive_seed(5, "weights", generation.number)):
            student = _build()
        model = ban_tf.BornAgainModel(student, objective="labels")
        model.compile(optimizer(), metrics=["accuracy"])
        model.fit(*_data(), epochs=3, batch_size=16, shuffle=False, verbose=0)
        for ours, theirs in zip(generation.weights, student.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.nightly
def test_generations_of_one_shape_are_traced_once():
    def traces(generations):
        calls = []

        def objective(labels, teacher, student):
            calls.append(student)  # Python comes here where a graph is made, not where it runs
            return keras.ops.mean(keras.ops.square(teacher - student), axis=-1)

        _fit(ban_tf.Lineage(_build, generations=generations, objective=objective), epochs=1)
        return len(calls)

    assert traces(2) == traces(1) > 0


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [
        ("ensemble", ["labels", "generation 0", "generations 0-1"]),
        ("first", ["labels", "generation 0", "generation 0"]),
    ],
)
def test_who_teaches(teacher, expected):
    lineage = _fit_quickly(ban_tf.Lineage(_build, generations=2, teacher=teacher))
    assert [generation.taught_by for generation in lineage.generations] == expected


def test_with_labels_alone_nobody_teaches():
    lineage = _fit_quickly(ban_tf.Lineage(_build, generations=1, objective="labels"))
    assert lineage.generations[1].taught_by == "labels"


def test_a_given_model_is_generation_0():
    given = _build()
    lineage = _fit_quickly(ban_tf.Lineage(_build, generations=1, first_model=given))
    assert lineage.model(0) is given
    assert lineage.generations[0].taught_by == "given"


def test_the_best_epoch_is_chosen_by_validation():
    x, y = _data()
    lineage = ban_tf.Lineage(_build, generations=0, keep="best")
    _fit(lineage, validation_data=(x[:20], y[:20]), epochs=6)
    history = lineage.generations[0].history
    best = max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    model = lineage.model(0)
    accuracy = np.mean(model.predict(x[:20], verbose=0).argmax(-1) == y[:20])
    np.testing.assert_allclose(accuracy, best["val_accuracy"], atol=1e-6)


def test_a_finished_lineage_is_read_and_a_longer_one_resumes(tmp_path):
    first = _fit_quickly(ban_tf.Lineage(_build, generations=1, directory=tmp_path), epochs=2)
    first.directory.close()
    longer = _fit_quickly(ban_tf.Lineage(_build, generations=2, directory=tmp_path), epochs=2)
    whole = _fit_quickly(ban_tf.Lineage(_build, generations=2), epochs=2)
    for ours, theirs in zip(longer.generations, whole.generations, strict=True):
        assert ours.history == theirs.history
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_other_settings_are_refused(tmp_path):
    def lineage(**settings):
        return ban_tf.Lineage(
            _build, generations=0, directory=tmp_path, settings=settings, defaults={"depth": 2}
        )

    lineage(width=7).directory.close()  # nothing was trained, and nothing is held against it
    first = lineage(width=8)
    _fit_quickly(first)
    first.directory.close()
    with pytest.raises(RunDirectoryError, match="width was 8 and is now 9"):
        lineage(width=9)
    # A setting that did not exist when the run was begun had its default.
    lineage(width=8, depth=2).directory.close()
    with pytest.raises(RunDirectoryError, match="depth was 2 and is now 3"):
        lineage(width=8, depth=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"generations": -1}, "`generations`"),
        ({"teacher": "best"}, "`teacher`"),
        ({"keep": "first"}, "`keep`"),
        ({"objective": "kdd"}, "did you mean"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ban_tf.Lineage(_build, **arguments)


def test_a_model_is_cloned_with_fresh_weights_and_a_subclass_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="function"):
        ban_tf.Lineage(Own())
    model = _build()
    lineage = _fit_quickly(ban_tf.Lineage(model, generations=1))
    assert not np.allclose(lineage.generations[0].weights[0], lineage.generations[1].weights[0])


def _command(directory):
    return [
        *(sys.executable, "-m", "ban_tf.main", "--arch=tests.soak.network:build", "--epochs=12"),
        *("--train_examples=400", "--gens=1", "--objective=dkpp", "--checkpoint=best"),
        *("--deterministic", "--progress=lines", "--noreport", f"--workdir={directory}"),
    ]


def _kill_at(line_start, command):
    """Kills a training once it prints a line; returns what it wrote to standard error."""
    process = warm.start(command)
    for line in process.stdout:
        if line.startswith(line_start):
            os.kill(process.pid, signal.SIGKILL)
            break
    else:
        pytest.fail(f"{line_start} was never reached")
    return process.communicate()[1]


def _arrays(directory):
    return [
        weights
        for number in range(2)
        for weights in keras.models.load_model(
            directory / f"generation-{number}" / "model.keras"
        ).get_weights()
    ]


@pytest.mark.nightly
def test_a_killed_run_ends_bit_identical_to_one_that_was_not(tmp_path):
    """Dropout, permutations, shuffling, momentum and the best epoch all go on as they would.

    So they do from the checkpoint before the last one, where the last one is damaged.
    """
    command = _command(tmp_path / "killed")
    warm.run(_command(tmp_path / "whole"), check=True)
    _kill_at("generation 0/1  epoch 2/12", command)
    newest = max((tmp_path / "killed").glob("generation-*/checkpoint-*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert "bytes where" in _kill_at("generation 1/1  epoch 3/12", command)
    done = warm.run(command, check=True)
    assert "generation 0/1  epoch" not in done.stdout
    for ours, theirs in zip(_arrays(tmp_path / "killed"), _arrays(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("generation-0/history.csv", "generation-1/history.csv"):
        killed, whole = (tmp_path / run / name for run in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes()
