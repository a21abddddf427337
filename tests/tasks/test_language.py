"""Language models that teach: states in step, perplexity, plateaus, and a whole run on a text."""

import contextlib
import html
import json
import logging
import pathlib

import keras
import numpy as np
import pytest
from absl import flags
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ban_tf
from ban_tf import architectures
from ban_tf.cli import report as report_command
from ban_tf.cli import seed_sweep
from ban_tf.config import options
from ban_tf.datasets import text, text_batches
from ban_tf.errors import CorruptFileError
from ban_tf.metrics import tokens
from ban_tf.runs import class_files, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.system.signals import Interrupted
from ban_tf.tasks import (
    language_inference,
    language_scores,
    language_training,
    runner,
)
from ban_tf.training import checkpoints, optimizers
from tests import reports
from tests.tiny_lineage import Signal, assert_equal

WORDS = tuple("abcdefgh")
SCORES = class_files.WORD_SCORES


def _tokens(count, seed=0):
    return np.random.default_rng(seed).integers(0, len(WORDS), count).astype(np.int32)


def _log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.nightly
def test_teacher_and_student_read_the_text_in_step_from_its_start_in_every_epoch():
    """With a learning rate of zero, every epoch's losses are those of reading each stream whole."""
    keras.utils.set_random_seed(0)
    student, teacher = (
        architectures.build_language_model("lstm-1-6", WORDS, batch_size=2) for _ in range(2)
    )
    for model in (student, teacher):  # far enough from uniform that states matter
        model.set_weights([weight * 30 for weight in model.get_weights()])
    model = ban_tf.BornAgainModel(student, teacher=teacher, objective="kd+labels")
    model.compile(keras.optimizers.SGD(0.0))
    tokens, held_out = _tokens(2 * 5 * 4 + 1), _tokens(2 * 5 * 3 + 1, seed=1)
    history = model.fit(
        text_batches.training_batches(tokens, 2, 5),
        validation_data=text_batches.evaluation_batches(held_out, 2, 5),
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[language_training.StateReset()],
    ).history
    for name, part in (("", tokens), ("val_", held_out)):
        streams = part[:-1].reshape(2, -1)
        ours, theirs = (
            _log_softmax(_without_state(network)(streams)) for network in (student, teacher)
        )
        expected = np.mean(np.sum(np.exp(theirs) * (theirs - ours), axis=-1))
        np.testing.assert_allclose(history[f"{name}teacher_loss"], [expected] * 2, rtol=1e-4)
        labels = part[1:].reshape(2, -1)
        expected = -np.mean(np.take_along_axis(ours, labels[..., None], axis=-1))
        np.testing.assert_allclose(history[f"{name}label_loss"], [expected] * 2, rtol=1e-4)


def _without_state(model):
    copy = architectures.build_language_model("lstm-1-6", WORDS)
    copy.set_weights(model.get_weights())
    return copy


def test_perplexity_is_the_exponential_of_the_weighted_mean():
    generator = np.random.default_rng(0)
    metric = language_training.Perplexity()
    logits, words = generator.normal(size=(3, 2, 4, 8)), generator.integers(0, 8, (3, 2, 4))
    weights = generator.integers(0, 2, (3, 2, 4)).astype("float32")
    for batch in range(3):
        metric.update_state(words[batch], logits[batch], sample_weight=weights[batch])
    losses = -np.take_along_axis(_log_softmax(logits), words[..., None], -1)[..., 0]
    expected = np.exp(np.sum(losses * weights) / weights.sum())
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("threshold", "perplexities", "rates"),
    [
        (0.0, [100, 90, 90, 80, 85, 84], [8, 8, 8, 2, 2, 0.5]),
        (0.5, [100, 99.5, 99.2, 90, 80, 70], [8, 8, 8, 2, 2, 2]),
    ],
)
@pytest.mark.parametrize("resumed_after", [0, 2, 4])
def test_the_rate_falls_after_each_epoch_that_does_not_lower_perplexity(
    threshold, perplexities, rates, resumed_after
):
    rows = [{"val_perplexity": perplexity} for perplexity in perplexities[:resumed_after]]
    callback = language_training.PlateauSchedule(0.25, threshold, rows)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    start = float(rates[max(0, resumed_after - 1)])
    model.compile(optimizers.SGD(optimizers.Schedule("constant", start, steps=1)))
    callback.set_model(model)
    seen = []
    for epoch in range(resumed_after, len(perplexities)):
        callback.on_epoch_begin(epoch)
        seen.append(float(model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_perplexity": perplexities[epoch]})
    assert seen == rates[resumed_after:]


def _language_run(directory, sent=()):
    """Two generations that read a text in step, and lower the learning rate as they go."""
    sizes, tokens, held_out = (2, 5), _tokens(2 * 5 * 4 + 1), _tokens(2 * 5 * 2 + 1, seed=1)
    lineage = ban_tf.Lineage(
        lambda: architectures.build_language_model("lstm-1-6", WORDS, batch_size=2, dropout=0.3),
        generations=1,
        objective="kd+labels",
        keep="best",
        directory=directory,
    )
    with contextlib.nullcontext() if directory is None else lineage.directory:
        return lineage.fit(
            lambda generation, epoch, step: (
                text_batches.training_batches(tokens, *sizes).repeat().skip(step)
            ),
            epochs=4,
            steps_per_epoch=4,
            validation_data=text_batches.evaluation_batches(held_out, *sizes),
            compile={
                "optimizer": lambda: optimizers.SGD(optimizers.Schedule("constant", 2.0, 1)),
                "weighted_metrics": [language_training.Perplexity()],
            },
            callbacks=lambda generation, rows: [
                language_training.StateReset(),
                language_training.PlateauSchedule(0.5, 0.02, rows),
                *sent,
            ],
        )


@pytest.mark.nightly
def test_a_language_model_resumes_within_a_text_as_if_it_had_never_stopped(tmp_path):
    """The states of student and teacher are restored, and the rate is lowered no more than once."""
    whole = _language_run(None)
    rates = [row["learning_rate"] for generation in whole.generations for row in generation.history]
    assert len(set(rates)) > 2  # there is something that could be lowered twice
    for sent in [("step", 2), ("step", 9), ("validation", 1), ("step", 6), ("epoch end", 1)]:
        with pytest.raises(Interrupted):
            _language_run(tmp_path, [Signal(*sent)])
    assert_equal(_language_run(tmp_path), whole)


def _parsed(*arguments):
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    return options.from_flags(values)


def test_flags_have_other_defaults_on_text():
    parsed = _parsed("--dataset=text", "--momentum=0.5")
    assert (parsed.arch, parsed.objective) == ("lstm-1-128", "kd+labels")
    assert (parsed.schedule, parsed.checkpoint, parsed.momentum) == ("plateau", "best", 0.5)
    assert _parsed("--dataset=digits").objective == "kd+labels"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=text", "--arch=wrn"], "--arch=wrn-16-1 is for images, but --dataset=text"),
        (["--arch=lstm"], "--arch=lstm-1-128 is for text, but --dataset=digits has images"),
        (
            ["--schedule=plateau"],
            "--schedule=plateau cannot be used with --dataset=digits: it lowers the learning",
        ),
        (["--dataset=text", "--compression=0.5"], "--compression=0.5: --arch=lstm-1-128 takes"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _parsed(*arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on a text in which each letter is most often followed by the next one."""
    place = tmp_path_factory.mktemp("language")
    generator = np.random.default_rng(0)
    steps = generator.choice([1, 2], p=[0.8, 0.2], size=4000)
    letters = [WORDS[position] for position in np.cumsum(steps) % len(WORDS)]
    lines = [" ".join(letters[start : start + 20]) for start in range(0, len(letters), 20)]
    (place / "letters.txt").write_text("\n".join(lines))
    arguments = (
        f"--dataset=text:{place / 'letters.txt'}",
        *("--arch=lstm-1-16", "--gens=1", "--epochs=3", "--batch_size=8", "--unroll=10"),
        *("--learning_rate=10", "--analyse", "--noreport", "--progress=none"),
        f"--workdir={place / 'run'}",
    )
    return _parsed(*arguments), runner.run(_parsed(*arguments))


def _events(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_a_run_on_text_ends_in_perplexities(finished):
    parsed, summary = finished
    rows = [*summary["generations"], *summary["ensembles"]]
    assert [row.get("taught_by") for row in rows] == ["labels", "generation 0", None]
    for row in rows:
        assert 1 < row["perplexity"] < 8  # nine words, four in five steps the same
        assert row["perplexity"] == pytest.approx(np.exp(row["negative_log_likelihood"]))
        assert 0 < row["brier_score"] < 2 and 0 <= row["expected_calibration_error"] < 1
    assert json.loads((parsed.directory / "summary.json").read_text()) == summary
    ban_tf.metrics.summary.load(parsed.directory)  # has all that any summary has


def test_reported_perplexity_is_that_of_the_saved_model(finished):
    parsed, summary = finished
    data = text.load(parsed.dataset)
    model = keras.models.load_model(parsed.directory / "generation-1" / "model.keras")
    losses = []
    for words, following, weights in text_batches.evaluation_batches(data.test, 8, 10):
        logs = _log_softmax(model(words))
        found = -np.take_along_axis(logs, following.numpy()[..., None], -1)[..., 0]
        losses.append(found[weights.numpy() > 0])
    expected = np.exp(np.mean(np.concatenate(losses)))
    np.testing.assert_allclose(summary["generations"][1]["perplexity"], expected, rtol=1e-4)


@pytest.mark.nightly
@pytest.mark.slow
def test_generation_0_is_what_plain_keras_trains(finished, tmp_path):
    parsed, _ = finished
    streams, unroll, epochs = 16, 20, 2
    runner.run(
        _parsed(
            *(f"--dataset={parsed.dataset}", "--arch=lstm-1-4", "--dropout=0", "--gens=0"),
            *(f"--batch_size={streams}", f"--unroll={unroll}", f"--epochs={epochs}", "--seed=3"),
            *("--optimizer=adam", "--learning_rate=0.01", "--schedule=constant"),
            *("--checkpoint=last", "--progress=none", "--noreport", f"--workdir={tmp_path}"),
        )
    )
    data = text.load(parsed.dataset)
    with seeds.seeded(seeds.derive_seed(3, "weights", 0)):
        model = architectures.build_language_model(
            "lstm-1-4", data.vocabulary, batch_size=streams, dropout=0.0
        )
    optimizer = keras.optimizers.Adam(0.01, global_clipnorm=0.15)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps = (len(data.train) - 1) // streams // unroll
    size = streams * steps * unroll
    words, following = (
        data.train[first : first + size].reshape(streams, steps, unroll) for first in (0, 1)
    )
    for _ in range(epochs):
        language_training.reset_states(model)
        for step in range(steps):  # each stream continues where it stopped
            model.train_on_batch(words[:, step], following[:, step])
    trained = ban_tf.Run(tmp_path).model(0).get_weights()
    assert len(trained) == len(model.get_weights())
    for ours, plain in zip(trained, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_predictions_are_kept_for_each_word_in_the_order_of_the_text(finished):
    parsed, summary = finished
    words = text.load(parsed.dataset).test
    reader = reading.RunReader(parsed.directory)
    for row in summary["generations"]:
        scores = class_files.read_word_scores(reader, row["generation"])
        assert {len(values) for values in scores.values()} == {len(words) - 1}
        measured = tokens.evaluate(scores, None)
        for name in ("perplexity", "error", "brier_score", "expected_calibration_error"):
            assert measured[name] == pytest.approx(row[name], rel=1e-5)
        assert measured["interval"] == pytest.approx(row["interval"], rel=1e-5)
    # The first stream, read alone by a model without a state that is carried on.
    model = language_inference.stateless(reader, "1")
    length = -(-(len(words) - 1) // 80) * 10
    logs = _log_softmax(model(words[None, :length]))[0]
    expected = logs[np.arange(length), words[1 : length + 1]]
    found = class_files.read_word_scores(reader, 1)["log_probability"][:length]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_words_are_shown_with_those_around_them():
    scores = [{"log_probability": np.zeros(30)} for _ in range(2)]
    scores[1]["log_probability"][[0, 20]] = -1.0, 2.0
    found = language_scores.contexts(scores, np.arange(31), [f"w{number}" for number in range(31)])
    assert found[0] == "w0 [w1] w2"
    assert found[20] == "w12 w13 w14 w15 w16 w17 w18 w19 w20 [w21] w22"
    assert len(found) == 24


@pytest.mark.parametrize("name", ["log_probability", "confidence"])
def test_damaged_predictions_of_words_are_named(name, tmp_path):
    arrays = {score: np.full(5, 0.5 if score != "log_probability" else -1.0) for score in SCORES}
    arrays[name] = arrays[name] + 3.0
    with RunDirectory(tmp_path / "run") as directory:
        content = checkpoints.pack(list(arrays.values()))
        directory.commit({"generation-0/predictions.npz": content})
        with pytest.raises(CorruptFileError, match="probabilities that are not in"):
            class_files.read_word_scores(directory, 0)


def test_the_ensemble_is_saved_for_any_number_of_streams(finished):
    parsed, _ = finished
    model = keras.models.load_model(parsed.directory / "ensemble.keras")
    distribution = np.asarray(model(np.zeros((3, 4), "int32")))
    assert distribution.shape == (3, 4, 9)
    np.testing.assert_allclose(distribution.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.nightly
def test_a_run_on_text_has_a_report_of_perplexities(finished):
    parsed, summary = finished
    page = reports.written(parsed.directory)
    row = summary["generations"][1]
    for expected in (
        f"<td>{row['validation_perplexity']:.2f}</td><td>{row['perplexity']:.2f}</td>",
        "Perplexity by generation",
        "validation perplexity",
        "The gradient of distillation",
        "circular bootstrap over blocks of neighboring words",
        "Reliability diagrams",
        *summary["run"]["environment"].values(),
        "--unroll=10",
    ):
        assert html.escape(expected) in page or expected in page
    assert summary["kind"] == "language"
    for low, high in (row["interval"] for row in summary["generations"]):
        assert low < summary["generations"][0]["perplexity"] * 2 and low < high
    shown = class_files.read_snippets(reading.RunReader(parsed.directory))
    assert len(shown) == 24 and all(html.escape(context) in page for context in shown.values())
    assert "Confusion" not in page and "calibration error</th>" not in page
    markdown = (parsed.directory / "summary.md").read_text()
    assert "| generation | taught by | validation perplexity | test perplexity |" in markdown
    metrics = json.loads((parsed.directory / "generation-1" / "metrics.json").read_text())
    assert metrics == row


@pytest.mark.nightly
def test_the_report_of_a_run_on_text_is_made_again_from_its_files(finished, capsys):
    parsed, _ = finished
    reports.written(parsed.directory)
    files = [parsed.directory / name for name in ("report.html", "summary.md")]
    before = [file.read_text() for file in files]
    for file in files:
        file.unlink()
    assert report_command.main([str(parsed.directory), "--figures"]) == 0
    assert [file.read_text() for file in files] == before
    assert (parsed.directory / "figures" / "perplexity_by_generation.png").stat().st_size > 1000


def test_the_curves_of_a_run_on_text_go_to_tensorboard(finished):
    parsed, _ = finished
    logs = parsed.directory / "tensorboard"
    tags = _events(logs / "generation-1").Tags()["tensors"]
    assert {"validation/perplexity", "speed/examples_per_second"} <= set(tags)
    final = _events(logs / "generations")
    assert [event.step for event in final.Tensors("final/perplexity")] == [0, 1]
    assert "hparams" in final.PluginTagToContent("hparams").__repr__()


@pytest.mark.nightly
def test_seeds_of_a_run_on_text_are_compared_by_perplexity(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("letters.txt").write_text("\n".join(["a b c d e f g h"] * 60))
    arguments = (
        *("--dataset=text:letters.txt", "--arch=lstm-1-4", "--gens=1", "--epochs=1"),
        *("--batch_size=4", "--unroll=5", "--progress=none", "--workdir=runs", "--seeds=2"),
    )
    seed_sweep.run(_parsed(*arguments), runner.run)
    result = json.loads(pathlib.Path("runs/summary.json").read_text())
    (group,) = result["groups"]
    assert group["seeds"] == [0, 1]
    first, second = group["rows"][1]["metrics"]["perplexity"]["values"]
    assert first != second
    page = pathlib.Path("runs/report.html").read_text()
    assert "Test perplexity, over seeds" in page
    assert "Perplexity by generation" in page and "Error by generation" not in page
    for seed in (0, 1):
        assert f'href="seed-{seed}/report.html"' in page
        assert pathlib.Path(f"runs/seed-{seed}/report.html").is_file()


@pytest.mark.parametrize(
    ("objective", "warned"), [("kd", True), ("kd+labels", False), ("cwtm", False)]
)
def test_leaving_the_labels_out_is_warned_of(objective, warned, caplog):
    logging.getLogger("absl").propagate = True
    with caplog.at_level("WARNING", logger="absl"):
        parsed = _parsed("--dataset=text", f"--objective={objective}")
        language_training.warn_of_missing_labels(parsed)
    assert ("leaves the labels out" in caplog.text) == warned
