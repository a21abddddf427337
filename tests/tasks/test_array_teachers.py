"""Teachers of tables and of texts that are recorded or given, and what depends on them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import linear_model

import ban_tf
from ban_tf.config import options
from ban_tf.datasets import documents, tables
from ban_tf.errors import InputError
from ban_tf.tasks import runner
from ban_tf.tasks.run import Run
from tests.run_weights import weights

pytestmark = pytest.mark.nightly

_COMMON = {
    "epochs": 2,
    "gens": 2,
    "progress": "none",
    "report": False,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 16,
}
_TABLE = {"dataset": "table:diabetes", "arch": "mlp-1-8", "objective": "mse+labels"}
_TEXTS = {"arch": "text-cnn-4", "max_length": 5, "objective": "kd+labels"}


def _run(folder, given, **changes):
    checked = options.check(options.Options(workdir=str(folder), **{**_COMMON, **given, **changes}))
    return runner.run(checked)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A table of texts, more of one class than of the other."""
    folder = tmp_path_factory.mktemp("texts")
    lines = ["text,label"]
    for index in range(90):
        good = index % 3 == 0
        lines.append(f"word{index} {'good' if good else 'bad'} film,{'yes' if good else 'no'}")
    (folder / "texts.csv").write_text("\n".join(lines))
    return {"dataset": f"csv:{folder / 'texts.csv'}", **_TEXTS}


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table") / "run"
    _run(folder, _TABLE, final_student=True, train_examples=200)
    return Run(folder)


@pytest.mark.parametrize("given", ["table", "texts"])
def test_recorded_teachers_teach_as_those_that_are_run(given, texts, tmp_path):
    given = _TABLE if given == "table" else texts
    for signal in ("online", "recorded"):
        _run(tmp_path / signal, given, teacher_signal=signal)
        assert Run(tmp_path / signal).files.metadata["teacher_signal"]["recorded"] == (
            signal == "recorded"
        )
    for number in (1, 2):
        found, wanted = (weights(tmp_path / name, number) for name in ("recorded", "online"))
        for one, other in zip(found, wanted, strict=True):
            if one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    rows = [Run(tmp_path / name).history[2][-1] for name in ("recorded", "online")]
    assert rows[0]["val_teacher_loss"] == pytest.approx(rows[1]["val_teacher_loss"], rel=1e-3)


def test_the_ensemble_of_a_table_is_distilled_into_a_final_student(table_run):
    row, first = table_run.summary["final_student"], table_run.summary["generations"][0]
    own = Run(table_run.path / row["directory"])
    assert row["rmse"] == own.summary["generations"][1]["rmse"]
    assert row["change"]["difference"] == pytest.approx(row["rmse"] - first["rmse"])
    data = tables.load("table:diabetes", train_examples=200)
    assert len(data.parts["train"]) + len(data.parts["validation"]) == 200
    columns = {column.name: data.parts["test"].inputs[column.key][:5, 0] for column in data.columns}
    np.testing.assert_allclose(own.predict(columns, 0), table_run.predict(columns), rtol=1e-5)


def test_a_given_model_of_a_table_is_generation_0_if_it_has_its_columns(table_run, tmp_path):
    given = {"teacher_from": str(table_run.path / "generation-1/model.keras"), "gens": 1}
    found = _run(tmp_path / "taught", _TABLE, **given, train_examples=200)
    wanted = table_run.summary["generations"][1]["rmse"]
    assert found["generations"][0]["rmse"] == pytest.approx(wanted, rel=1e-5)
    for other in ({"train_examples": 100}, {"train_examples": 200, "ignored_columns": "bmi"}):
        with pytest.raises(InputError, match="must be a model of a run on this table, with the"):
            _run(tmp_path / "refused", _TABLE, **given, **other)
    with pytest.raises(InputError, match="--train_examples=400 must be between 2 and the 354"):
        _run(tmp_path / "refused", _TABLE, train_examples=400)


def test_any_recorded_model_teaches_texts_whose_classes_may_be_weighted(texts, tmp_path):
    train = documents.load(texts["dataset"]).train
    numbers = {text: "good" in text for text in train.texts}
    model = linear_model.LogisticRegression().fit([[n] for n in numbers.values()], train.labels)
    ban_tf.record(
        lambda some: model.predict_proba([[numbers[str(text)]] for text in some]),
        np.array(train.texts),
        tmp_path / "recording",
        outputs="probabilities",
        class_names=["no", "yes"],
        identity="regression",
    )
    given = {"teacher_from": f"recording:{tmp_path / 'recording'}", "gens": 0, "epochs": 20}
    found = _run(tmp_path / "taught", texts, **given, objective="kd", class_weight="balanced")
    assert found["generations"][0]["error"] < 0.1
    run = Run(tmp_path / "taught")
    assert "balanced with weights of hash" in json.dumps(run.files.metadata)
    with pytest.raises(InputError, match=r"lacks .* training texts; record these very texts"):
        _run(tmp_path / "refused", texts, **given, objective="kd", seed=5)
