"""Pictures over several rows: what is in them, from runs as they are left behind."""

import numpy as np
import pytest

from ban_tf.metrics import summary
from experiments import pictures
from tests.report import finished_run

SEEDS = range(3)


def errors(root, row, run, which):
    return errors_of(root, SEEDS, row, run, which)


def errors_of(root, seeds, row, run, which):
    """Test errors in percent, by seed."""
    found = [summary.load(root / f"seed-{seed}" / "evidence" / row / run) for seed in seeds]
    return np.array([100 * entry["generations"][which]["error"] for entry in found])


def make(root, row, run, seed, **settings):
    objective = "kd" if "epochs" in run else run
    place = root / f"seed-{seed}" / "evidence" / row / run
    finished_run.make(place, seed=seed, objective=objective, **settings)


def test_a_longer_training_alone_does_not_take_the_place_of_a_lineage(tmp_path):
    """Runs of one kind are called by their settings elsewhere, as a lineage may be."""
    make(tmp_path, "generations", "kd", 0)
    make(tmp_path, "longer", "80 epochs", 0, generations=1, gain=3.0, epochs=80)
    drawn = lines(pictures.PICTURES["cost"](tmp_path, [0])[0].axes[0])
    start = errors_of(tmp_path, [0], "generations", "kd", 0)[0]
    longer = errors_of(tmp_path, [0], "longer", "80 epochs", 0)[0]
    np.testing.assert_allclose(drawn["one network, longer"], [[40, start], [80, longer]])


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_gains_by_the_number_of_images(tmp_path):
    for seed in SEEDS:
        for count, gain in ((1000, 0.9), (5000, 0.5)):
            make(tmp_path, f"cifar10-{count}", "kd+labels", seed, generations=2, gain=gain)
            make(tmp_path, f"cifar10-{count}", "labels", seed, generations=2, gain=0.1)
    make(tmp_path, "cifar10-5000", "cwtm", 0, generations=2)  # one seed has no interval
    figure, table = pictures.PICTURES["sizes"](tmp_path, SEEDS)
    panel, _ = figure.axes
    drawn = lines(panel)
    assert "cwtm" not in drawn
    expected = [
        np.mean(errors(tmp_path, row, "kd+labels", 1) - errors(tmp_path, row, "labels", 1))
        for row in ("cifar10-1000", "cifar10-5000")
    ]
    np.testing.assert_allclose(drawn["kd+labels"][:, 0], [1000, 5000])
    np.testing.assert_allclose(drawn["kd+labels"][:, 1], expected)
    assert f"| kd+labels | 5,000 | {expected[1]:+.2f} [" in table


def test_gains_by_temperature_and_label_weight(tmp_path):
    for seed in SEEDS:
        make(tmp_path, "recipes", "labels", seed, generations=2, gain=0.1)
        for index, (temperature, weight) in enumerate(((1, "0.5"), (4, "0.5"), (4, "1"))):
            name = f"temperature-{temperature}-labels-{weight}"
            place = tmp_path / f"seed-{seed}" / "evidence" / "recipes" / name
            finished_run.make(place, seed=seed, generations=2, gain=index, label_weight=index)
    figure, table = pictures.PICTURES["recipes"](tmp_path, SEEDS)
    panel, _ = figure.axes
    drawn = lines(panel)
    expected = [
        np.mean(errors(tmp_path, "recipes", item, 1) - errors(tmp_path, "recipes", "labels", 1))
        for item in ("temperature-1-labels-0.5", "temperature-4-labels-0.5")
    ]
    np.testing.assert_allclose(drawn["label weight 0.5"][:, 1], expected)
    assert len(drawn["label weight 1"]) == 1
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "4"]
    assert f"| label weight 0.5 | 4 | {expected[1]:+.2f} [" in table


def test_gains_by_generation(tmp_path):
    for seed in SEEDS:
        make(tmp_path, "generations", "kd", seed, generations=4)
        make(tmp_path, "generations", "labels", seed, generations=4, gain=0.0)
    figure, table = pictures.PICTURES["generations"](tmp_path, SEEDS)
    drawn = lines(figure.axes[0])
    expected = [
        np.mean(
            errors(tmp_path, "generations", "kd", array)
            - errors(tmp_path, "generations", "labels", array)
        )
        for array in (1, 2, 3)
    ]
    assert set(drawn) >= {"newest, kd", "ensemble, kd"}
    np.testing.assert_allclose(drawn["newest, kd"][:, 1], expected)
    assert len(drawn["ensemble, kd"]) == 3
    places = drawn["newest, kd"][:, 0]
    np.testing.assert_allclose(np.diff(places), 1)  # a linear axis
    assert f"| newest, kd | 3 | {expected[2]:+.2f} [" in table


def test_error_by_the_epochs_that_were_trained(tmp_path):
    for seed in SEEDS:
        make(tmp_path, "generations", "kd+labels", seed, generations=4)
        make(tmp_path, "generations", "labels", seed, generations=4, gain=0.0)
        for epochs in (80, 160):
            make(tmp_path, "longer", f"{epochs} epochs", seed, generations=1, epochs=epochs)
    figure, table = pictures.PICTURES["cost"](tmp_path, SEEDS)
    drawn = lines(figure.axes[0])
    newest = drawn["newest generation, kd+labels"]
    np.testing.assert_allclose(newest[:, 0], [40, 80, 120, 160])
    expected = [errors(tmp_path, "generations", "kd+labels", number).mean() for number in range(4)]
    np.testing.assert_allclose(newest[:, 1], expected)
    np.testing.assert_allclose(drawn["one network, longer"][:, 0], [40, 80, 160])
    longer = errors(tmp_path, "longer", "160 epochs", 0).mean()
    np.testing.assert_allclose(drawn["one network, longer"][-1, 1], longer)
    assert len(drawn["ensemble of independent networks"]) == 4
    gain = errors(tmp_path, "generations", "kd+labels", 3) - errors(
        tmp_path, "longer", "160 epochs", 0
    )
    assert f"| 160 | newest generation, kd+labels | {expected[3]:.2f} ±" in table
    assert f" | {gain.mean():+.2f} [" in table
    assert pictures.main(["cost", f"--workdir={tmp_path}"]) == 0  # all seeds
    assert (tmp_path / "evidence/cost.png").read_bytes().startswith(b"\x89PNG")


def test_other_seeds_are_not_paired(tmp_path):
    for seed in range(4):
        if seed != 3:
            make(tmp_path, "generations", "kd", seed)
        if seed != 2:
            make(tmp_path, "longer", "80 epochs", seed, generations=1, epochs=80)
    _, table = pictures.PICTURES["cost"](tmp_path, range(4))
    assert "| 80 | newest generation, kd |" in table
    assert "[" not in table  # no interval of differences


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cost", "nothing of evidence/generations"),
        ("sizes", "no 3 seeds of evidence/cifar10-1000"),
        ("recipes", "no 3 seeds of evidence/recipes"),
        ("generations", "no 3 seeds of evidence/generations"),
    ],
)
def test_nothing_to_draw_is_one_sentence(name, message, tmp_path, capsys):
    assert pictures.main([name, f"--workdir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
