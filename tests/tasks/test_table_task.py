"""Tables from the command line: what is measured, predicted, exported and resumed."""

import contextlib
import csv
import json
import os
import re
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

import ban_tf
from ban_tf.cli import evaluate, export, predict
from ban_tf.config import options
from ban_tf.datasets import tables
from ban_tf.distillation import example_keys
from ban_tf.errors import InputError, OptionsError
from ban_tf.report import content
from ban_tf.runs import number_files, reading, table_files
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.tasks import given_outputs, lineage_options, runner, table_features
from ban_tf.tasks.tables import TableTask
from tests import reports

COLORS = ("red", "green", "blue")


def _parsed(*arguments):
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    return options.from_flags(values)


def _of_houses(folder, *further):
    return _parsed(
        *(f"--dataset=csv:{folder / 'houses.csv'}", "--target=price", "--batch_size=16"),
        *("--arch=mlp-1-8", "--student_arch=table-resnet-1-8", "--gens=2", "--epochs=2"),
        *("--validation_fraction=0.2", "--progress=none", f"--workdir={folder / 'run'}", *further),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run that predicts prices from numbers, categories and dates, some missing."""
    folder = tmp_path_factory.mktemp("houses")
    rng = np.random.default_rng(0)
    lines = ["size (m2),color,sold,price,note"]
    for row in range(120):
        size, color = rng.normal(100, 20), rng.integers(3)
        price = 2000 * size + 20000 * color + rng.normal(0, 9000)
        cells = [f"{size:.1f}", COLORS[color], f"2024-{row % 12 + 1:02}-10", f"{price:.0f}", "x"]
        for column in range(3):
            cells[column] = "" if rng.random() < 0.1 else cells[column]
        lines.append(",".join(cells))
    (folder / "houses.csv").write_text("\n".join(lines))
    (folder / "new.csv").write_text(
        "sold,color,size (m2)\n2025-01-02,red,120\n,,\n2024-05-05,violet,80\n"
    )
    runner.run(_of_houses(folder, "--noreport"))
    return folder


@pytest.fixture(scope="module")
def run(place):
    return ban_tf.Run(place / "run")


@pytest.fixture(scope="module")
def test_part(place):
    """The test rows of the table, as they are in the file, and their prices."""
    rows = list(csv.DictReader((place / "houses.csv").open()))
    prices = np.array([float(row["price"]) for row in rows])
    data = tables.load(f"csv:{place / 'houses.csv'}", target="price", validation_fraction=0.2)
    chosen = [int(np.flatnonzero(prices == price)[0]) for price in data.parts["test"].targets]
    return {name: [rows[row][name] for row in chosen] for name in rows[0]}, prices[chosen]


def test_the_saved_models_take_raw_columns_and_have_the_metrics_of_scikit_learn(run, test_part):
    columns, prices = test_part
    summary = run.summary
    assert summary["kind"] == "regression"
    assert summary["run"]["objective"] == "mse+labels"
    for row, model in [
        *zip(summary["generations"], (0, 1, 2), strict=True),
        (summary["ensembles"][0], "ensemble"),
    ]:
        found = run.predict(columns, model)
        assert row["rmse"] == pytest.approx(
            metrics.root_mean_squared_error(prices, found), rel=1e-5
        )
        assert row["mae"] == pytest.approx(metrics.mean_absolute_error(prices, found), rel=1e-5)
        assert row["r2"] == pytest.approx(metrics.r2_score(prices, found), rel=1e-4, abs=1e-4)
        assert row["interval"][0] < row["rmse"] < row["interval"][1]
    changes = [row["change"] for row in summary["generations"]]
    assert changes[0] is None and set(changes[1]) == {
        *("difference", "low", "high", "p", "adjusted_p", "significant")
    }
    mean = np.mean([run.predict(columns, model) for model in (1, 2)], axis=0)
    np.testing.assert_allclose(run.predict(columns), mean, rtol=1e-5)


@pytest.mark.nightly
def test_the_report_shows_predictions_and_residuals(place, test_part):
    page = reports.written(place / "run")
    for words in (
        *("RMSE by generation", "Predictions against the truth", "Largest residuals"),
        *("averaging the predicted numbers", "bootstrap 95 % interval", "2,000 resamples"),
    ):
        assert words in page
    rows = list(csv.reader((place / "run" / "predictions.csv").open()))
    assert rows[0] == ["row", "target", *(f"generation {n}" for n in (0, 1, 2)), "ensemble 1-2"]
    assert [float(row[1]) for row in rows[1:]] == list(test_part[1])
    of_user = (place / "houses.csv").read_text().splitlines()  # the first row is line 1
    assert all(row[1] in of_user[int(row[0])].split(",") for row in rows[1:])
    assert "test RMSE" in (place / "run" / "summary.md").read_text()


def test_new_tables_are_predicted(place, run, capsys):
    table = place / "predicted.csv"
    arguments = [str(place / "run"), str(place / "new.csv"), str(place / "absent.csv")]
    assert predict.main([*arguments, f"--csv={table}", "--model=ensemble"]) == 1
    printed = capsys.readouterr()
    assert "absent.csv does not exist" in printed.err
    rows = list(csv.reader(table.open()))
    assert rows[0] == ["file", "row", "price"]
    assert [row[1] for row in rows[1:]] == ["1", "2", "3"]
    wanted = run.predict(place / "new.csv")
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], wanted, rtol=1e-6)
    assert printed.out.splitlines()[0].split("\t")[1:] == ["1", f"{wanted[0]:.10g}"]
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(place / "new.csv")
    np.testing.assert_array_equal(run.predict(frame), wanted)
    assert predict.main([*arguments[:2], "--top=2"]) == 2
    assert "is for classes" in capsys.readouterr().err
    with pytest.raises(InputError, match="lacks the columns color, size"):
        run.predict({"sold": ["2024-01-01"]})
    with pytest.raises(InputError, match="must be a dictionary of columns"):
        run.predict([[1.0, 2.0]])


def test_large_numbers_keep_their_differences_to_the_last_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 5, 60)
    rows = [f"{1.7e9 + 99 * value:.0f},{1e9 + value:.2f}" for value in values]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["at,value", *rows]))
    runner.run(
        _parsed(
            *(f"--dataset=table:{file}", "--arch=mlp-1-8", "--gens=1", "--epochs=2"),
            *("--batch_size=8", "--progress=none", "--noreport", f"--workdir={tmp_path / 'run'}"),
        )
    )
    run = ban_tf.Run(tmp_path / "run")
    again = run.evaluate(f"table:{file}")
    for kind in ("generations", "ensembles"):
        for now, before in zip(again[kind], run.summary[kind], strict=True):
            for metric in ("rmse", "mae", "r2"):
                assert now[metric] == pytest.approx(before[metric], rel=1e-5)
    predicted = run.predict(file)
    assert len({*predicted}) > 50
    np.testing.assert_allclose(run.model("ensemble")(_of_seconds(file))[:, 0], predicted, atol=64)
    capsys.readouterr()
    table = tmp_path / "predicted.csv"
    arguments = [str(tmp_path / "run"), str(file), "--model=ensemble", f"--csv={table}"]
    assert predict.main(arguments) == 0
    shown = [float(line.split("\t")[2]) for line in capsys.readouterr().out.splitlines()[:60]]
    kept = [float(row["value"]) for row in csv.DictReader(table.open())]
    np.testing.assert_allclose(shown, predicted, rtol=0, atol=0.51)
    np.testing.assert_allclose(kept, predicted, rtol=0, atol=0.0051)


def _of_seconds(file):
    rows = csv.DictReader(file.open())
    return {"at": tf.constant([[float(row["at"])] for row in rows], tf.float64)}


@contextlib.contextmanager
def _without_reader():
    """Prints, line by line, to a pipe that nobody reads, as behind `head`."""
    reader, writer = os.pipe()
    os.close(reader)
    output = os.fdopen(writer, "w", buffering=1, encoding="utf-8")
    try:
        with contextlib.redirect_stdout(output):
            yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            output.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has another error for such a pipe")
def test_files_are_written_before_a_reader_of_the_screen_may_leave(place, run, tmp_path):
    table, numbers = tmp_path / "predicted.csv", tmp_path / "numbers.json"
    houses = str(place / "houses.csv")
    with _without_reader():
        assert predict.main([str(run.files.path), houses, f"--csv={table}"]) == 1
        with pytest.raises(SystemExit) as ended:  # by Rich, which prints the table
            evaluate.main([str(run.files.path), f"--dataset=csv:{houses}", f"--json={numbers}"])
        assert ended.value.code == 1
    assert len(table.read_text().splitlines()) == 121  # with the headings
    assert json.loads(numbers.read_text())["kind"] == "regression"


@pytest.mark.nightly
def test_evaluation_repeats_the_results_and_takes_other_tables(place, run, tmp_path, capsys):
    shutil.copy(place / "houses.csv", tmp_path / "moved.csv")
    file = tmp_path / "results.json"
    arguments = [str(place / "run"), f"--dataset=table:{tmp_path / 'moved.csv'}", f"--json={file}"]
    assert evaluate.main(arguments) == 0, capsys.readouterr().err
    found = json.loads(file.read_text())
    for now, before in zip(found["generations"], run.summary["generations"], strict=True):
        assert now["examples"] == before["examples"] == 24
        assert now["rmse"] == pytest.approx(before["rmse"], rel=1e-5)
    lines = (place / "houses.csv").read_text().splitlines()
    (tmp_path / "some.csv").write_text("\n".join(lines[:11]))
    assert run.evaluate(f"csv:{tmp_path / 'some.csv'}")["generations"][0]["examples"] == 10


@pytest.mark.nightly
def test_exported_models_take_raw_columns_or_features(place, run, test_part):
    reader = reading.RunReader(place / "run")
    columns, _ = test_part
    path = export.export(reader, "saved_model", preprocessing=True)
    manifest = json.loads(path.with_name(path.name + ".json").read_text())
    assert (manifest["target"], manifest["output"]) == ("price", "values")
    assert [column["input"] for column in manifest["columns"]] == ["color", "size_m2", "sold"]
    facts = table_files.read_facts(reader)
    table = ban_tf.datasets.table_files.from_columns(columns, "columns")
    inputs = table_features.fed(ban_tf.datasets.table_columns.arrays(table, facts.columns))
    exported = tf.saved_model.load(path)
    np.testing.assert_allclose(exported.serve(inputs)[:, 0], run.predict(columns), rtol=1e-5)
    plain = keras.models.load_model(export.export(reader, "keras", "1"))
    features = table_features.build(facts.columns)(inputs)
    numbers = plain(features)[:, 0] * facts.target.std + facts.target.mean
    np.testing.assert_allclose(numbers, run.predict(columns, 1), rtol=1e-5)
    with pytest.raises(InputError, match="which --to=litert does not support"):
        export.export(reader, "litert", preprocessing=True)


@pytest.mark.nightly
def test_generation_0_is_what_plain_keras_trains(place, run):
    given = _of_houses(place, "--dropout=0", "--student_arch=mlp-1-8", "--gens=0")
    given = options.check(given)
    task = runner.prepare(given).task
    steps, size = task.steps_per_epoch(), given.batch_size
    batches = []
    seed = seeds.derive_seed(given.seed, "data", 0)
    for epoch in range(given.epochs):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(task.train.labels)), seed=tf.constant([seed, epoch], tf.int64)
        ).numpy()
        batches += [order[step * size : (step + 1) * size] for step in range(steps)]
    with seeds.seeded(seeds.derive_seed(given.seed, "weights", 0)):
        plain = task.build(given.arch)
    plain.compile(lineage_options.make_optimizer(given, given.epochs, steps), "mse")
    inputs, labels = task.train.inputs, task.train.labels
    data = tf.data.Dataset.from_generator(
        lambda: ((inputs[rows], labels[rows]) for rows in batches),
        output_signature=(
            tf.TensorSpec((size, inputs.shape[1]), tf.float32),
            tf.TensorSpec((size, 1), tf.float32),
        ),
    )
    plain.fit(data, epochs=1, shuffle=False, verbose=0)
    folder = place / "plain"
    common = ("--dropout=0", "--student_arch=mlp-1-8", "--gens=0", "--noreport")
    runner.run(_of_houses(place, *common, f"--workdir={folder}"))
    trained = table_features.network_of(ban_tf.Run(folder).model(0))
    for ours, theirs in zip(trained.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class _Stop(keras.callbacks.Callback):
    """Ends the process, as far as the run can tell, in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.nightly
def test_a_run_that_is_interrupted_within_an_epoch_ends_equal(place, tmp_path, monkeypatch):
    again = (f"--workdir={tmp_path / 'run'}", "--checkpoint_steps=1", "--noreport")
    with monkeypatch.context() as patch:
        patch.setattr(
            TableTask, "callbacks", lambda self, number, rows: [_Stop()] if number == 1 else []
        )
        with pytest.raises(KeyboardInterrupt):
            runner.run(_of_houses(place, *again))
    runner.run(_of_houses(place, *again))
    first, second = (ban_tf.Run(path) for path in (place / "run", tmp_path / "run"))
    for number in (0, 1, 2):
        for ours, theirs in zip(
            first.model(number).get_weights(), second.model(number).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert _measured(first) == _measured(second)


def _measured(run):
    return [
        {key: row[key] for key in ("rmse", "mae", "r2", "interval")}
        for row in run.summary["generations"]
    ]


@pytest.mark.nightly
def test_classes_have_the_numbers_and_the_report_of_images(tmp_path, capsys):
    result = runner.run(
        _parsed(
            *("--dataset=table:wine", "--arch=table-resnet-1-8", "--gens=1", "--epochs=3"),
            *("--gens=1", "--progress=none", "--label_smoothing=0.1", f"--workdir={tmp_path}"),
        )
    )
    assert "Predicts target, one of 3 classes" in capsys.readouterr().out
    run = ban_tf.Run(tmp_path)
    assert run.summary["run"]["objective"] == "kd+labels"
    data = tables.load("table:wine")
    columns = {column.name: data.parts["test"].inputs[column.key][:, 0] for column in data.columns}
    probabilities = run.predict(columns, 1)
    labels = data.parts["test"].targets
    row = result["generations"][1]
    assert row["accuracy"] == metrics.accuracy_score(labels, probabilities.argmax(axis=1))
    assert row["negative_log_likelihood"] == pytest.approx(
        metrics.log_loss(labels, probabilities), rel=1e-4
    )
    page = (tmp_path / "report.html").read_text()
    assert "Confusion matrix" in page and "Reliability diagrams" in page
    path = export.export(reading.RunReader(tmp_path), "keras", "1", preprocessing=True)
    classifier = keras.models.load_model(path)
    inputs = table_features.fed(data.parts["test"].inputs)
    np.testing.assert_allclose(classifier(inputs), probabilities, atol=1e-5)
    (tmp_path / "rows.csv").write_text(",".join(columns) + "\n" + ",".join(["1"] * 13) + "\n")
    assert predict.main([str(tmp_path), str(tmp_path / "rows.csv"), "--top=2", "--csv"]) == 0
    headings = capsys.readouterr().out.splitlines()[0]
    assert headings == "file,row,class 1,probability 1,class 2,probability 2"


def test_the_balanced_accuracy_is_monitored(tmp_path, capsys):
    runner.run(
        _parsed(
            *("--dataset=table:wine", "--arch=mlp-1-8", "--gens=0", "--epochs=2", "--noreport"),
            *("--monitor=val_balanced_accuracy", "--progress=lines", f"--workdir={tmp_path}"),
        )
    )
    shown = re.findall(r"epoch .* val_balanced_accuracy ([0-9.]+)", capsys.readouterr().out)
    found = [row["val_balanced_accuracy"] for row in ban_tf.Run(tmp_path).history[0]]
    assert [float(text) for text in shown] == pytest.approx(found, abs=1e-4)
    data = tables.load("table:wine")
    columns = {
        column.name: data.parts["validation"].inputs[column.key][:, 0] for column in data.columns
    }
    predicted = ban_tf.Run(tmp_path).predict(columns, 0).argmax(axis=1)
    recall = metrics.balanced_accuracy_score(data.parts["validation"].targets, predicted)
    assert found[-1] == pytest.approx(recall, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table:diabetes", "--objective=kd"], "--objective=kd is for classes, but column target"),
        (["table:wine", "--objective=mse"], "--objective=mse is for numbers, but column target"),
        (["digits", "--objective=mse"], "--objective=mse is for regression"),
        (["table:diabetes", "--label_smoothing=0.1"], "--label_smoothing=0.1 is for classes"),
        (["table:diabetes", "--monitor=val_balanced_accuracy"], "is for classes, but column"),
        (["table:diabetes", "--analyse"], "--analyse is for classes, but column target of"),
        (["table:wine", "--mixup=0.2"], "--mixup=0.2 does nothing with --dataset=table:wine"),
        (["digits", "--target=x"], "--target=x does nothing with --dataset=digits"),
        (["table:wine", "--target=x"], "--target=x is no column of"),
        (["table:wine", "--arch=wrn"], "--arch=wrn-16-1 is for images"),
        (["table:wine", "--arch=mlp-0-1"], "--arch=mlp-0-1: this network is named mlp-DEPTH-WIDTH"),
        (["digits", "--arch=mlp"], "--arch=mlp-2-64 is for tables"),
        (["table:wines"], "--dataset=table:wines names no file"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(arguments, message):
    with pytest.raises(OptionsError) as caught:
        _parsed(f"--dataset={arguments[0]}", *arguments[1:])
    assert message in str(caught.value)


@pytest.mark.nightly
def test_class_weights_are_those_of_scikit_learn():
    given = _parsed("--dataset=table:breast_cancer", "--class_weight=balanced")
    task = runner.prepare(given).task
    labels = task.train.labels
    wanted = compute_class_weight("balanced", classes=np.arange(2), y=labels)
    _, chosen, weights = next(iter(task.training_batches(0, 0, 0).get_tf_dataset()))
    np.testing.assert_allclose(weights, wanted[chosen.numpy()], rtol=1e-6)
    assert "class_weight" in task.identity()


def test_a_csv_belongs_to_the_task_of_its_columns(place, run):
    assert run.task.name == "tables"
    assert run.settings["task"] == "tables"


def test_columns_that_are_not_those_of_the_model_are_noticed(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")

    def changed(name, content):
        with RunDirectory(tmp_path / "run") as directory:
            directory.commit({name: content})
        return ban_tf.Run(tmp_path / "run")

    facts = json.loads((place / "run" / table_files.COLUMNS).read_bytes())
    wrong = {**facts, "columns": facts["columns"][:1]}
    with pytest.raises(InputError, match="has other columns or another target than the model"):
        changed(table_files.COLUMNS, json.dumps(wrong).encode()).predict({"color": ["red"]})
    twice = {**facts, "columns": facts["columns"][:1] * 2}
    unnamed = {**facts, "target": {**facts["target"], "std": 0}}
    keyless = {**facts, "columns": [{**facts["columns"][0], "key": "../x"}]}
    for broken in ({}, [], twice, unnamed, keyless):
        run = changed(table_files.COLUMNS, json.dumps(broken).encode())
        with pytest.raises(InputError, match=r"columns\.json"):
            run.predict({"color": ["red"]})
    for targets in (np.ones((2, 2)), np.array([np.nan]), np.array(["a"])):
        changed(number_files.TARGETS, number_files.number_files(targets)[number_files.TARGETS])
        with pytest.raises(InputError, match=r"test_targets\.npz does not hold one finite number"):
            content.read(tmp_path / "run")
    changed(number_files.TARGETS, number_files.number_files(np.ones(3))[number_files.TARGETS])
    with pytest.raises(InputError, match="the test set needs"):
        content.read(tmp_path / "run")


def _record(path, rows, rows_of_outputs, **options):
    values = dict(zip(rows, rows_of_outputs.tolist(), strict=True))
    ban_tf.record(
        lambda numbers: np.array([values[number] for number in numbers.tolist()]),
        np.array(rows),
        path,
        keys=rows,
        verbose=False,
        identity="a teacher",
        **options,
    )
    return f"recording:{path}"


def _given(value, rows, target):
    keys = example_keys.of_names(rows.keys)
    number = None if target.class_names else target
    what, missing = f"column {target.name}", "training rows"
    return given_outputs.GivenOutputs(value, keys, target.class_names, number, what, missing)


def test_a_recorded_teacher_has_the_order_of_the_classes_and_the_unit_of_numbers(tmp_path):
    data = tables.load("table:wine")
    rows = data.parts["train"]
    names = list(reversed(data.target.class_names))
    chances = np.random.default_rng(0).dirichlet(np.ones(3), size=len(rows))
    path = tmp_path / "classes"
    value = _record(path, rows.keys, chances, outputs="probabilities", class_names=names)
    found = _given(value, rows, data.target)
    np.testing.assert_allclose(np.exp(found.outputs), chances[:, ::-1], rtol=2e-3)
    numbers = tables.load("table:diabetes")
    part = numbers.parts["train"]
    value = _record(tmp_path / "numbers", part.keys, part.targets[:, None], outputs="values")
    found = _given(value, part, numbers.target)
    assert (found.outputs.mean(), found.outputs.std()) == pytest.approx((0, 1), abs=1e-5)
    with pytest.raises(InputError, match="has values, but column target needs logits"):
        _given(value, rows, data.target)
    with pytest.raises(InputError, match=r"lacks \d+ of the 319 training rows"):
        some = _record(tmp_path / "some", part.keys[:9], part.targets[:9, None], outputs="values")
        _given(some, part, numbers.target)
    with pytest.raises(InputError, match=r"has 2 classes \(a, b\), which are not those of column"):
        two = _record(
            *(tmp_path / "two", rows.keys, chances[:, :2] / chances[:, :2].sum(1, keepdims=True)),
            outputs="probabilities",
            class_names=["a", "b"],
        )
        _given(two, rows, data.target)
