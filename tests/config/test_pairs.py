"""Students of another kind than their teacher, shared layers, and runs that end by themselves."""

import json

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.config import idle, options
from ban_tf.tasks import runner


def _network(width=8):
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(width, activation="tanh"),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.Dense(3),
        ]
    )


def _fit(lineage):
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    compile = {
        "optimizer": lambda: ban_tf.optimizers.SGD(0.1, kernel_decay=0.1, momentum=0.9),
        "run_eagerly": True,  # nothing is traced for a few steps
    }
    return lineage.fit(x, x[:, :3].argmax(-1), epochs=1, batch_size=16, compile=compile)


def test_generations_after_the_first_may_be_of_another_kind(tmp_path):
    lineage = _fit(
        ban_tf.Lineage(
            _network, 2, student_build=lambda: _network(width=4), directory=tmp_path / "run"
        )
    )
    widths = [lineage.model(number).layers[1].units for number in range(3)]
    assert widths == [8, 4, 4]
    lineage.directory.close()
    again = _fit(
        ban_tf.Lineage(
            _network, 2, student_build=lambda: _network(width=4), directory=tmp_path / "run"
        )
    )
    for ours, theirs in zip(again.generations, lineage.generations, strict=True):
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("width", [4, 8])
def test_shared_ends_are_the_teachers_in_every_generation_and_never_move(width):
    lineage = _fit(
        ban_tf.Lineage(_network, 2, student_build=lambda: _network(width), share_ends=True)
    )
    first, *others = (generation.weights for generation in lineage.generations)
    for weights in others:
        for end in (0, 1, -2, -1):
            np.testing.assert_array_equal(weights[end], first[end])
        assert weights[2].shape != first[2].shape or not np.allclose(weights[2], first[2])


def test_a_student_whose_ends_do_not_fit_is_refused_before_anything_is_trained():
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="choose a student of this teacher"):
        ban_tf.Lineage(_network, 1, student_build=other, share_ends=True)


def test_ends_are_trained_where_nobody_teaches():
    lineage = _fit(ban_tf.Lineage(_network, 1, objective="labels", share_ends=True))
    assert not np.allclose(lineage.generations[0].weights[0], lineage.generations[1].weights[0])


def test_a_lineage_ends_when_its_stop_function_returns_true():
    lengths = []

    def stop(lineage):
        lengths.append(len(lineage.generations))
        return len(lengths) == 2

    lineage = _fit(ban_tf.Lineage(_network, 5, stop=stop))
    assert lengths == [2, 3] and len(lineage.generations) == 3


def _options(place, **changes):
    settings = {"epochs": 2, "gens": 1, "progress": "none", "train_examples": 120}
    return options.check(options.Options(workdir=str(place), **{**settings, **changes}))


@pytest.mark.nightly
def test_a_run_of_a_densenet_that_teaches_a_residual_network(tmp_path):
    """With everything on: mixup, the passage from labels to teacher, the analysis, auto."""
    result = runner.run(
        _options(
            tmp_path / "run",
            arch="densenet-10-4",
            student_arch="resnet-wide-1-1@densenet-10-4",
            gens="auto",
            max_gens=1,
            mixup=0.2,
            tighten_epochs=1.0,
            analyse=True,
        )
    )
    assert result["run"]["architecture"] == "densenet-10-4 to resnet-wide-1-1@densenet-10-4"
    teacher, student = (
        keras.models.load_model(tmp_path / "run" / f"generation-{number}" / "model.keras")
        for number in (0, 1)
    )
    for end in ("convolution", "logits"):
        for a, b in zip(
            teacher.get_layer(end).get_weights(), student.get_layer(end).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    rows = json.loads((tmp_path / "run" / "generation-1" / "analysis.json").read_text())
    assert [row["epoch"] for row in rows] == [1, 2]
    assert (tmp_path / "run" / "analysis.png").read_bytes().startswith(b"\x89PNG")
    assert "analysis.png" in (tmp_path / "run" / "summary.md").read_text()
    assert "The gradient of distillation" in (tmp_path / "run" / "report.html").read_text()


def test_an_analysis_needs_an_online_teacher():
    """Where a recorded teacher would do, as on data without augmentation, it is online."""
    assert idle.needs_online(options.Options(analyse=True)) == "analyse"


@pytest.mark.nightly
def test_a_run_that_draws_activations_together(tmp_path):
    runner.run(
        _options(
            tmp_path / "run",
            arch="wrn-10-1",
            epochs=1,
            report=False,
            activation_weight=1.0,
            share_ends=True,
        )
    )
    history = (tmp_path / "run" / "generation-1" / "history.csv").read_text()
    assert "distillation_loss" in history.splitlines()[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gens": "auto", "validation_fraction": 0.0}, "--gens=auto stops by validation"),
        ({"student_arch": "wrm-10-1"}, "did you mean wrn-10-1"),
        ({"student_arch": "lstm"}, "--student_arch=lstm-1-128 is for text"),
        ({"student_arch": "densenet", "activation_weight": 1.0, "gens": 2}, "it needs --gens=1"),
        ({"objective": "cwtm", "tighten_epochs": 1.0}, "--objective=cwtm only has labels"),
        (
            {"dataset": "text", "arch": "lstm", "train_examples": None, "mixup": 0.2},
            "--mixup=0.2 does nothing with --dataset=text: words cannot be mixed",
        ),
        (
            {"dataset": "text", "arch": "lstm"},
            "--train_examples=120 does nothing",
        ),
        ({"teacher_signal": "recorded", "analyse": True}, "--analyse needs more than the teacher"),
        ({"compression": 0.7}, "--compression=0.7: --arch=wrn-16-1 takes dropout"),
    ],
)
def test_what_cannot_be_had_together_is_refused(changes, message, tmp_path):
    with pytest.raises(options.OptionsError, match=message):
        _options(tmp_path, **changes)


def test_settings_of_one_of_two_networks_are_given_to_that_one(tmp_path):
    parsed = _options(tmp_path, arch="wrn-10-1", student_arch="densenet-10-4", compression=0.7)
    assert parsed.architecture_settings() == {"compression": 0.7}
