"""The examples do what they say, as they stand."""

import pathlib
import runpy

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    return lambda name: runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.nightly
def test_images(run, capsys):
    found = run("born_again_images.py")
    assert found["accuracy"] > 0.8
    assert capsys.readouterr().out.count("validation accuracy") == 3
    ensemble = keras.models.load_model("ensemble.keras")
    test = found["images"][found["test"]]
    np.testing.assert_array_equal(
        ensemble.predict(test, verbose=0).argmax(axis=-1), found["predicted"]
    )
    assert keras.models.load_model("born_again.keras").output_shape == (None, 10)


@pytest.mark.nightly
def test_two_inputs(run):
    history = run("two_inputs.py")["student"].history.history
    assert history["val_kind_accuracy"][-1] > 0.7
    assert history["val_amount_mae"][-1] < 1.0
    assert set(keras.models.load_model("two_inputs.keras").output) == {"kind", "amount"}


@pytest.mark.nightly
def test_several_heads(run):
    found = run("several_heads.py")
    kinds, boxes = (found["labels"][name][500:] for name in ("kind", "box"))
    joint = keras.models.load_model("several_heads.keras").predict(found["images"][500:], verbose=0)
    np.testing.assert_array_equal(joint["kind"], found["test"]["kind"])
    np.testing.assert_allclose(joint["kind"].sum(axis=-1), 1.0, atol=1e-5)
    assert np.mean(joint["kind"].argmax(axis=-1) == kinds) > 0.8
    assert np.abs(joint["box"] - boxes).mean() < 0.75 * np.abs(boxes.mean(axis=0) - boxes).mean()
    assert "box mae" in str(found["lineage"])


@pytest.mark.nightly
def test_a_booster_as_teacher(run, capsys):
    found = run("booster_as_teacher.py")
    assert min(found["accuracies"]) > 0.9
    assert "a given teacher" in capsys.readouterr().out


@pytest.mark.nightly
def test_a_network_of_pytorch_as_teacher(run, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    monkeypatch.setattr("sys.argv", ["pytorch_teacher.py", "--epochs=6"])
    found = run("pytorch_teacher.py")
    assert found["tested"]["accuracy"] > 0.8
    recorded = found["student"].teacher.recorded.outputs(np.arange(len(found["images"])))
    assert np.mean(recorded.argmax(axis=-1) == found["labels"]) > 0.95


@pytest.mark.nightly
def test_text(run):
    found = run("text_classifier.py")
    for model in (found["first"], found["second"]):
        assert model.history.history["val_accuracy"][-1] > 0.8
    assert keras.models.load_model("text_classifier.keras").output_shape == (None, 3)


@pytest.mark.nightly
def test_tokens(run):
    """Longer padding, and other tags of it, change neither losses nor the accuracy of words."""
    found = run("token_classifier.py")
    model, x, y = (found[name] for name in ("second", "x", "y"))
    assert model.history.history["val_accuracy"][-1] > 0.9
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    longer = np.pad(x, ((0, 0), (0, 7)))
    others = np.where(longer > 0, np.pad(y, ((0, 0), (0, 7))), 2)
    found = model.evaluate(longer, others, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-4)
    words = np.argmax(model.predict(x, verbose=0), axis=-1)[x > 0]
    assert found["accuracy"] == pytest.approx(np.mean(words == y[x > 0]))
    assert keras.models.load_model("token_classifier.keras").output_shape == (None, None, 3)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_on_a_page(path):
    assert len(path.read_text().splitlines()) < 60
