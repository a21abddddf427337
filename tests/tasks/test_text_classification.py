"""Text classification from the command line: training, resuming, reports, prediction and export."""

import csv
import html
import itertools
import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from absl import flags
from sklearn import metrics

import ban_tf
from ban_tf.cli import evaluate, export, predict
from ban_tf.config import options, registry
from ban_tf.datasets import documents
from ban_tf.report import content, page
from ban_tf.runs import class_files, reading
from ban_tf.system import seeds
from ban_tf.system.signals import Interrupted
from ban_tf.tasks import runner, text_classification
from tests import reports
from tests.distribution import processes
from tests.tiny_lineage import Signal

WORDS = {
    "food": ["bread", "salt", "oven", "soup", "taste", "sugar"],
    "sport": ["goal", "team", "match", "score", "player", "season"],
    "weather": ["rain", "wind", "sun", "cloud", "storm", "snow"],
}
SHARED = [f"word{number}" for number in range(12)]
TINY = (
    *("--arch=text-cnn-4", "--student_arch=text-cnn-6", "--gens=2", "--epochs=2"),
    *("--batch_size=8", "--max_words=25", "--max_length=10", "--progress=none"),
)


def _sentence(generator, topic):
    words = generator.choice([*WORDS[topic], *SHARED], generator.integers(3, 13))
    return " ".join([str(generator.choice(WORDS[topic])), *map(str, words)]).capitalize() + "!"


def _options(*arguments):
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    return options.from_flags(values)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of texts, a table of the same classes, and a run on the folder."""
    root, generator = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 8)):
        for topic in WORDS:
            folder = root / "data" / part / topic
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.txt").write_text(_sentence(generator, topic))
    table = [("text", "label"), *((_sentence(generator, t), t) for t in ["sport", "food"] * 5)]
    with (root / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    arguments = (f"--dataset=documents:{root / 'data'}", f"--workdir={root / 'run'}")
    runner.run(_options(*TINY, *arguments, "--noreport"))
    return root


@pytest.fixture(scope="module")
def run(place):
    return ban_tf.Run(place / "run")


def test_the_metrics_are_those_of_scikit_learn_for_the_saved_models(place, run):
    """The models take the texts themselves, from files that know nothing of the run."""
    data = documents.load(f"documents:{place / 'data'}")
    labels, found = data.test.labels, []
    for row in run.summary["generations"]:
        number = row["generation"]
        model = keras.models.load_model(run.files.path / f"generation-{number}/model.keras")
        logits = np.asarray(model(tf.constant(data.test.texts)), np.float64)
        found.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
        predicted = found[-1].argmax(-1)
        assert row["examples"] == 24
        assert row["error"] == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
        assert row["balanced_accuracy"] == pytest.approx(
            metrics.balanced_accuracy_score(labels, predicted)
        )
        likelihood = metrics.log_loss(labels, found[-1])
        assert row["negative_log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
        np.testing.assert_allclose(run.predict(data.test.texts, number), found[-1], rtol=1e-5)
    mean = np.mean(found[1:], axis=0)
    np.testing.assert_allclose(run.predict(data.test.texts), mean, rtol=1e-5)
    (born_again,) = (row for row in run.summary["ensembles"] if row["members"] == [1, 2])
    assert born_again["error"] == pytest.approx(np.mean(mean.argmax(-1) != labels))


def test_the_vocabulary_is_that_of_the_training_texts_alone(place, run):
    words = reading.read_vocabulary(run.files)
    data = documents.load(f"documents:{place / 'data'}", seed=0)
    seen = {word.strip("!").lower() for text in data.train.texts for word in text.split()}
    assert len(words) == 25 and set(words) <= seen
    shares = json.loads((run.files.path / reading.VOCABULARY).read_text())["unknown_share"]
    for part in ("train", "test"):
        read = [text.strip("!").lower().split()[:10] for text in getattr(data, part).texts]
        known = [word in words for text in read for word in text]
        assert shares[part] == pytest.approx(1 - np.mean(known))


@pytest.mark.nightly
def test_generation_0_is_a_plain_keras_loop_of_the_same_seed(place, tmp_path):
    name = f"documents:{place / 'data'}"
    common = ("--arch=bilstm-1-4", "--gens=0", "--epochs=2", "--dropout=0", "--schedule=constant")
    own = ("--batch_size=8", "--learning_rate=0.01", "--progress=none", "--seed=3", "--noreport")
    runner.run(_options(*common, *own, f"--dataset={name}", f"--workdir={tmp_path / 'run'}"))
    data = documents.load(name, seed=3)
    layer = keras.layers.TextVectorization()
    layer.adapt(data.train.texts)
    numbers = layer(tf.constant(data.train.texts)).numpy()
    with seeds.seeded(seeds.derive_seed(3, "weights", 0)):
        model = ban_tf.architectures.build_text_classifier(
            "bilstm-1-4", layer.vocabulary_size(), numbers.shape[1], 3
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    for epoch in range(2):
        seed = tf.constant([seeds.derive_seed(3, "data", 0), epoch], tf.int64)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(numbers)), seed).numpy()
        order = order[: len(order) // 8 * 8]
        model.fit(numbers[order], data.train.labels[order], batch_size=8, shuffle=False, verbose=0)
    trained = ban_tf.Run(tmp_path / "run").model(0).get_weights()
    assert len(trained) == len(model.get_weights())
    for ours, plain in zip(trained, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_run_that_was_interrupted_equals_one_that_was_not(place, run, tmp_path, monkeypatch):
    """Within an epoch of generation 0, and then within the last one of generation 1."""
    flags = (f"--dataset=documents:{place / 'data'}", f"--workdir={tmp_path / 'run'}")
    chosen = _options(*TINY, *flags, "--checkpoint_steps=1", "--noreport")
    for step, generation in ((4, 0), (9, 1)):
        sent = {generation: [Signal("step", step)]}
        with monkeypatch.context() as patch:
            patch.setattr(
                text_classification.TextClassification,
                "callbacks",
                lambda task, number, rows, sent=sent: sent.get(number, []),
            )
            with pytest.raises(Interrupted):
                runner.run(chosen)
    runner.run(chosen)
    other = ban_tf.Run(tmp_path / "run")
    for number in range(3):
        for ours, theirs in zip(
            other.model(number).get_weights(), run.model(number).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert other.history == run.history


@pytest.mark.nightly
@pytest.mark.slow
def test_a_final_student_learns_from_the_ensemble_of_these_words_alone(place, run, tmp_path):
    common = (f"--dataset=documents:{place / 'data'}", f"--workdir={tmp_path / 'run'}")
    sizes = ("--arch=text-cnn-4", "--gens=2", "--epochs=1", "--batch_size=8", "--noreport")
    result = runner.run(_options(*common, *sizes, "--student_arch=bilstm-1-4", "--final_student"))
    student = result["final_student"]
    assert student["taught_by"] == "ensemble of generations 1-2" and student["examples"] == 24
    inner = ban_tf.Run(tmp_path / "run" / student["directory"])
    texts = ["Goal, team!", "rain"]
    np.testing.assert_allclose(inner.predict(texts, 0), ban_tf.Run(tmp_path / "run").predict(texts))
    assert "| final |" in (tmp_path / "run" / "summary.md").read_text()
    teacher = f"--teacher_from={run.files.path / 'ensemble.keras'}"  # of fewer words
    with pytest.raises(ban_tf.errors.InputError, match="must be a text classifier of the words"):
        runner.run(_options(common[0], f"--workdir={tmp_path / 'other'}", *sizes, teacher))


@pytest.mark.nightly
@pytest.mark.parametrize("arch", ["text-cnn-4", "text-transformer-1-8"])
def test_two_replicas_train_the_run_of_one_device(arch, place, tmp_path):
    common = (f"--arch={arch}", "--gens=1", "--epochs=1", "--dropout=0", "--noreport")
    own = ("--batch_size=8", "--progress=none", f"--dataset=documents:{place / 'data'}")
    runner.run(_options(*common, *own, "--strategy=one", f"--workdir={tmp_path / 'one'}"))
    two = ("--virtual_devices=2", f"--workdir={tmp_path / 'two'}")
    done = warm.run([sys.executable, "-m", "ban_tf.main", *common, *own, *two], check=True)
    assert "2 replica(s) of MirroredStrategy" in done.stdout
    processes.assert_same_run(tmp_path / "one", tmp_path / "two", rtol=1e-3, atol=1e-4)


@pytest.mark.nightly
def test_the_report_shows_the_texts_of_mistakes(place, run):
    text = reports.written(run.files.path)
    for heading in ("Most confident mistakes", "Confusion", "Calibration", "Newly right"):
        assert heading in text
    shown = class_files.read_snippets(run.files)
    predictions = reading.read_predictions(run.files, 3)
    labels, names = class_files.read_labels(run.files)
    wrong = np.flatnonzero(predictions[2].argmax(-1) != labels)
    assert len(wrong) and set(wrong[:1]) <= set(shown)
    assert html.escape(shown[int(wrong[0])]) in text and html.escape(names[wrong[0]]) in text
    rows = list(csv.DictReader((run.files.path / "predictions.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == list(names)
    assert page.write(content.read(run.files.path)) == text


@pytest.mark.parametrize("broken", ['{"examples": [0]}', '{"examples": ["0"], "texts": [1]}'])
def test_damaged_texts_of_a_report_are_named(broken, run, monkeypatch):
    read = run.files.read
    monkeypatch.setattr(
        run.files,
        "read",
        lambda name: broken.encode() if name == class_files.SNIPPETS else read(name),
    )
    with pytest.raises(ban_tf.errors.InputError, match=re.escape(class_files.SNIPPETS)):
        class_files.read_snippets(run.files)


@pytest.mark.nightly
def test_evaluation_takes_other_texts_of_known_classes(place, run, capsys):
    numbers = place / "numbers.json"
    name = f"--dataset=csv:{place / 'table.csv'}"
    assert evaluate.main([str(run.files.path), name, f"--json={numbers}"]) == 0
    assert "of the words are unknown to the run" in capsys.readouterr().out
    found = json.loads(numbers.read_text())
    assert found["generations"][1]["examples"] == 10 and 0 < found["run"]["unknown_words"] < 1
    again = run.evaluate(f"documents:{place / 'data'}")
    assert again["generations"][2]["error"] == run.summary["generations"][2]["error"]
    (place / "other.csv").write_text("text,label\na,sport\nb,music\n")
    assert evaluate.main([str(run.files.path), f"--dataset=csv:{place / 'other.csv'}"]) == 2
    assert "not trained on: music" in capsys.readouterr().err


def test_files_and_lines_are_predicted(place, run, capsys):
    folder = place / "new"
    folder.mkdir()
    (folder / "a.txt").write_text("Goal, team!\n\nRain and snow\n")
    (folder / "b.txt").write_bytes(b"\xff\xfa")
    table = place / "predicted.csv"
    arguments = [str(run.files.path), "--model=ensemble"]
    assert predict.main([*arguments, str(folder), f"--csv={table}"]) == 1
    caught = capsys.readouterr()
    assert "b.txt cannot be read as UTF-8" in caught.err
    (row,) = csv.DictReader(table.read_text().splitlines())
    expected = run.predict(["Goal, team!\n\nRain and snow"])[0]
    assert [float(row[name]) for name in WORDS] == pytest.approx(list(expected), rel=1e-5)
    assert caught.out.startswith(f"{folder / 'a.txt'}\t{row['class']}\t")
    arguments += [str(folder / "a.txt"), "--lines", "--top=2", "--csv"]
    assert predict.main(arguments) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["line"] for row in rows] == ["Goal, team!", "Rain and snow"]
    likeliest = run.predict(["Rain and snow"])[0].max()
    assert float(rows[1]["probability 1"]) == pytest.approx(likeliest, rel=1e-5)


@pytest.mark.nightly
def test_exports_take_texts_or_the_numbers_of_words(run, tmp_path):
    texts = ["Goal, team!", "", "rain and SNOW " * 9]
    for which, to in itertools.product(("ensemble", "1"), ("saved_model", "keras")):
        output = tmp_path / f"{which}-{to}{export.FORMATS[to]}"
        path = export.export(run.files, to, which, output, preprocessing=True)
        read = tf.saved_model.load if to == "saved_model" else keras.models.load_model
        model = read(str(path))
        found = (
            model.serve(tf.constant(texts)) if to == "saved_model" else model(tf.constant(texts))
        )
        expected = run.predict(texts, which if which == "ensemble" else int(which))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    path = export.export(run.files, "keras", "1", tmp_path / "numbers.keras")
    manifest = json.loads((tmp_path / "numbers.keras.json").read_text())
    words = manifest["vocabulary"]
    numbers = np.zeros((1, manifest["input"]["shape"][1]), "int32")
    numbers[0, :2] = [2 + words.index(word) if word in words else 1 for word in ("goal", "team")]
    raw = keras.models.load_model(path).predict(numbers, verbose=0)
    found = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, run.predict(["Goal, team!"], 1), rtol=1e-5)
    with pytest.raises(ban_tf.errors.InputError, match="--to=litert does not support"):
        export.export(run.files, "litert", preprocessing=True)


def test_the_columns_of_a_table_lead_to_the_task(place):
    assert registry.of(f"csv:{place / 'table.csv'}").name == "text_classification"
    assert registry.of("documents").name == registry.of("documents:x").name
    found = _options(f"--dataset=csv:{place / 'table.csv'}", "--test_fraction=0.3")
    assert (found.arch, found.optimizer, found.max_length) == ("text-cnn-64", "adam", 128)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--mixup=0.2",), "words cannot be mixed"),
        (("--teacher_views=2",), "texts are not augmented"),
        (("--test_fraction=0.3",), "as it is for data without a test part"),
        (("--arch=wrn",), "--arch=wrn-16-1 is for images, but --dataset=documents has documents"),
        (("--arch=lstm",), "is for text, but"),
        (("--dataset=digits", "--max_words=9"), "it is for texts with labels"),
        (("--dataset=text", "--max_length=9"), "a text is read as a whole"),
        (("--max_words=0",), "--max_words must be between 1 and"),
        (("--dataset=documents:nowhere",), "is not a folder; give documents:FOLDER"),
    ],
)
def test_flags_of_other_tasks_are_refused(arguments, complaint):
    with pytest.raises(options.OptionsError, match=re.escape(complaint)):
        _options("--dataset=documents", *arguments)
