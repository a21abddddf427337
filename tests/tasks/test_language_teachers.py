"""Recorded teachers of language models, given ones, and the final student of a run on text."""

from __future__ import annotations

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf import architectures
from ban_tf.cli import export
from ban_tf.config import options
from ban_tf.datasets import text, text_batches
from ban_tf.distillation import recording
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.errors import InputError
from ban_tf.runs import inference, reading
from ban_tf.system.signals import Interrupted
from ban_tf.tasks import language_teachers, language_training, runner
from ban_tf.tasks.recording_choice import check_space
from ban_tf.training import optimizers
from tests.tiny_lineage import Signal, assert_equal

WORDS = tuple("abcdefg") + (text.END,)
SIZES = (4, 5)  # streams and steps
GIVEN = options.Options(
    dataset="text",
    arch="lstm-1-4",
    batch_size=4,
    unroll=5,
    teacher_signal="recorded",
    progress="none",
)


def _tokens(count, seed=0):
    return np.random.default_rng(seed).integers(0, len(WORDS), count).astype(np.int32)


# 4 training and 3 validation batches, the last of these with padding.
DATA = text.TextData(
    "text", WORDS, _tokens(4 * 5 * 4 + 3), _tokens(4 * 5 * 2 + 9, 1), _tokens(9, 2)
)


def _network(seed=None, streams=4):
    model = architectures.build_language_model("lstm-1-4", WORDS, streams)
    if seed is not None:  # far enough from uniform that states matter
        weights = np.random.default_rng(seed)
        model.set_weights([weights.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def _read_whole(model, streams):
    """Returns the logits of whole streams, read at once by a model without states."""
    whole = _network(streams=None)
    whole.set_weights(model.get_weights())
    return np.asarray(whole(streams))


@pytest.mark.parametrize("part", [language_teachers.TRAIN, language_teachers.VALIDATION])
def test_what_is_recorded_is_what_the_teacher_returns_for_the_whole_text(part, tmp_path):
    """Also after an interruption within a row, from where the states must be those of the text."""
    chosen = dataclasses.replace(GIVEN, recordings=str(tmp_path / "there"))
    model = _network(seed=0)
    # As on two replicas, where the teacher in training has the states of half of the streams.
    half = _network(streams=2)
    half.set_weights(model.get_weights())
    recorded = language_teachers.record(chosen, DATA, part, OnlineTeacher([half]), 1)
    steps = 4 if part == language_teachers.TRAIN else 3
    found = recorded.view(0).reshape(steps, 4, 5, len(WORDS)).swapaxes(0, 1)
    tokens, count = getattr(DATA, part)[:-1], 20 * steps
    inputs = np.pad(tokens[:count], (0, max(0, count - len(tokens))))
    expected = _read_whole(model, inputs.reshape(4, -1)).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)

    file = recorded.path / "view-00000.npy"
    whole = file.read_bytes()
    file.rename(file.with_suffix(".begun"))
    file.with_suffix(".begun").write_bytes(whole[: len(whole) // 2 + 3])
    again = language_teachers.record(chosen, DATA, part, OnlineTeacher([model]), 1)
    assert again == recorded and file.read_bytes() == whole


def test_the_largest_probabilities_are_recorded_alone():
    logits = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("float32")
    form = recording.Form(1, 3, 8, top=2, positions=(5,))
    found = recording.unpack(recording.pack(logits, form), form)
    assert form.bytes == 3 * 5 * (3 * 2 + 2 * 2)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    largest = np.sort(expected, -1)[..., -2:]
    np.testing.assert_allclose(np.sort(np.exp(found), -1)[..., -2:], largest, rtol=2e-3)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=2e-3)


@pytest.mark.nightly
def test_batches_of_unknown_size_are_read_by_networks_of_a_fixed_one():
    """Several workers get such batches of the validation text."""
    model = ban_tf.BornAgainModel(_network(), teacher=ban_tf.RecordedTeacher())
    model.compile("sgd", run_eagerly=True)
    outputs = keras.ops.ones((*SIZES, len(WORDS)))

    @tf.function(input_signature=[tf.TensorSpec((None, 5), "int32"), tf.TensorSpec((None, 5, 8))])
    def look(words, theirs):
        return model.compute_loss(words, {"labels": words, "teacher_logits": theirs}, outputs)

    theirs = np.zeros((*SIZES, len(WORDS)), "float32")
    loss = look(np.zeros(SIZES, "int32"), theirs)
    np.testing.assert_allclose(loss, np.log(len(WORDS)), rtol=1e-5)


def test_more_than_fits_on_the_disk_is_refused():
    form = recording.Form(1, 10**9, 50_000, positions=(35,))
    with pytest.raises(InputError, match=r"recorded needs .* GB in .*; give --teacher_top=N to"):
        check_space(GIVEN, form)


def _lineage(folder, recorded, sent=()):
    """Two generations; the learning rate is low, so that rounding stays what it is."""
    lineage = ban_tf.Lineage(
        lambda: architectures.build_language_model("lstm-1-4", WORDS, 4, dropout=0.3),
        generations=1,
        first_model=_network(seed=0),
        directory=folder,
        recorded=recorded,
    )
    chosen = dataclasses.replace(GIVEN, workdir=str(folder or "unused"))

    def batches(read, part, teacher, **options):
        logits = None
        if any(teacher):
            made = language_teachers.record(chosen, DATA, part, teacher[0], 1)
            logits = lambda rows: made.logits(0, rows)  # noqa: E731
        return read(getattr(DATA, part), *SIZES, teacher_logits=logits, **options)

    def training(generation, epoch, step, *teacher):
        part, read = language_teachers.TRAIN, text_batches.training_batches
        return batches(read, part, teacher, first_step=step)

    def validation(generation, *teacher):
        return batches(text_batches.evaluation_batches, language_teachers.VALIDATION, teacher)

    with contextlib.nullcontext() if folder is None else lineage.directory:
        return lineage.fit(
            training,
            epochs=2,
            steps_per_epoch=4,
            validation_data=validation if recorded else validation(0),
            compile={
                "optimizer": lambda: optimizers.SGD(optimizers.Schedule("constant", 0.1, 1)),
                "weighted_metrics": [language_training.Perplexity()],
                "run_eagerly": True,
            },
            callbacks=[language_training.StateReset(), *sent],
            verbose=0,
        )


@pytest.mark.nightly
@pytest.mark.slow
def test_a_recorded_teacher_teaches_as_one_that_is_run_and_training_resumes(tmp_path):
    online, recorded = (
        _lineage(tmp_path / name, name == "recorded") for name in ("run", "recorded")
    )
    for one, other in zip(recorded.history, online.history, strict=True):
        for name in ("loss", "teacher_loss", "val_teacher_loss", "val_perplexity"):
            assert one[name] == pytest.approx(other[name], rel=1e-3)
    with pytest.raises(Interrupted):  # within the second epoch
        _lineage(tmp_path / "stopped", True, [Signal("step", 6)])
    assert_equal(_lineage(tmp_path / "stopped", True), recorded)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with recorded teachers and a final student, and its summary."""
    place = tmp_path_factory.mktemp("language")
    letters = np.random.default_rng(0).choice(list("abcdef"), 700)
    lines = [" ".join(letters[start : start + 20]) for start in range(0, len(letters), 20)]
    (place / "letters.txt").write_text("\n".join(lines))
    chosen = dataclasses.replace(
        GIVEN,
        dataset=f"text:{place / 'letters.txt'}",
        gens=2,
        epochs=1,
        learning_rate=1.0,
        final_student=True,
        workdir=str(place / "run"),
    )
    found = runner.run(options.check(chosen))
    return ban_tf.Run(place / "run"), found


@pytest.mark.nightly
@pytest.mark.slow
def test_the_final_student_of_a_text_is_in_tables_and_used_like_any_model(made, tmp_path):
    run, found = made
    row, first = found["final_student"], found["generations"][0]
    assert row["taught_by"] == "ensemble of generations 1-2"
    assert row["change"]["difference"] == pytest.approx(row["perplexity"] - first["perplexity"])
    assert "| final | ensemble of generations 1-2 |" in (run.path / "summary.md").read_text()
    assert "final student" in (run.path / "report.html").read_text()

    own = ban_tf.Run(run.path / row["directory"])
    taught = own.summary["generations"]
    assert taught[1]["perplexity"] == pytest.approx(row["perplexity"], rel=1e-5)
    ensemble = found["ensembles"][0]
    assert ensemble["members"] == [1, 2]
    assert taught[0]["perplexity"] == pytest.approx(ensemble["perplexity"], rel=1e-4)
    lines = ["a b c", "f"]
    np.testing.assert_allclose(own.predict(lines, 0), run.predict(lines), rtol=1e-4)
    measured, whole = (one.evaluate(run.settings["dataset"]) for one in (own, run))
    wanted = whole["ensembles"][0]["perplexity"]
    assert measured["generations"][0]["perplexity"] == pytest.approx(wanted, rel=1e-4)
    path = export.export(own.files, "keras", "1", tmp_path / "model.keras")
    exported = keras.models.load_model(path)(np.zeros((2, 3), "int32"))
    assert exported.shape == (2, 3, 7)
    # Each generation's teacher, and the ensemble, with a validation part each.
    assert len(list(run.path.glob("**/recordings/*/view-00000.npy"))) == 6


@pytest.mark.nightly
@pytest.mark.slow
def test_a_given_language_model_must_be_of_these_words_and_of_a_run(made, tmp_path):
    run, _ = made
    words = reading.read_vocabulary(run.files)
    path = str(run.path / "generation-1/model.keras")
    given = language_teachers.given(path, words)
    for one, other in zip(
        given.get_weights(), inference.load(run.files, "1").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match=r"teacher_from=.* must be a language model of the words"):
        language_teachers.given(path, words[:-1])
    given.save(tmp_path / "alone.keras")
    with pytest.raises(InputError, match="must be in the directory of its run on text, whose"):
        language_teachers.given(str(tmp_path / "alone.keras"), words)
    with pytest.raises(InputError, match=r"must be one \.keras file of a run on text: neither"):
        language_teachers.given(f"{path},{path}", words)
