"""The decomposition of the distillation gradient, against float64 and against Keras's gradient."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import ban_tf
from ban_tf.distillation import analysis


def _softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture(params=[(16,), (4, 6)], ids=["images", "text"])
def batch(request):
    """Labels `[batch, ...]`, and the logits of teacher and student for seven classes."""
    generator = np.random.default_rng(0)
    teacher, student = 3.0 * generator.normal(size=(2, *request.param, 7))
    return generator.integers(0, 7, request.param), teacher, student


def test_the_decomposition_agrees_with_a_reference_in_float64(batch):
    labels, teacher, student = batch
    found = analysis.decompose(labels, teacher.astype("float32"), student.astype("float32"))
    p, q = _softmax(teacher), _softmax(student)
    for place in np.ndindex(labels.shape):
        true, dark = 0.0, []
        for number in range(7):
            difference = q[place][number] - p[place][number]
            if number == labels[place]:
                true = difference
            else:
                dark.append(difference)
        expected = {
            "true_class_gradient": true,
            "dark_knowledge_gradient": sum(abs(entry) for entry in dark),
            "true_class_square": true**2,
            "dark_knowledge_square": sum(entry**2 for entry in dark),
            "teacher_confidence": max(p[place]),
            "weight": max(p[place]) / p.max(-1).sum(),
            "teacher_agreement": float(p[place].argmax() == q[place].argmax()),
            "kl_divergence": float(np.sum(p[place] * np.log(p[place] / q[place]))),
        }
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][place], value, rtol=2e-4, atol=1e-6)


def test_the_two_parts_make_up_the_gradient_of_the_objective(batch):
    labels, teacher, student = batch
    logits = tf.Variable(student, dtype="float32")
    with tf.GradientTape() as tape:
        losses = ban_tf.objectives.DarkKnowledge()(labels, teacher.astype("float32"), logits)
        loss = tf.reduce_sum(losses)
    gradient = tape.gradient(loss, logits).numpy()
    found = analysis.decompose(labels, teacher.astype("float32"), student.astype("float32"))
    whole = found["true_class_square"] + found["dark_knowledge_square"]
    np.testing.assert_allclose(np.square(gradient).sum(-1), whole, rtol=1e-3, atol=1e-6)
    true = np.take_along_axis(gradient, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(found["true_class_gradient"], true, rtol=1e-3, atol=1e-6)


def test_labels_may_be_one_hot(batch):
    labels, teacher, student = batch
    one_hot = analysis.decompose(np.eye(7, dtype="float32")[labels], teacher, student)
    for name, values in analysis.decompose(labels, teacher, student).items():
        np.testing.assert_allclose(one_hot[name], values, rtol=1e-6)


def test_a_row_sums_up_several_batches(batch):
    labels, teacher, student = batch
    halves = [slice(0, len(labels) // 2), slice(len(labels) // 2, None)]
    row = analysis.summarize(
        [analysis.decompose(labels[half], teacher[half], student[half]) for half in halves]
    )
    p, q = _softmax(teacher), _softmax(student)
    true = np.take_along_axis(q - p, labels[..., None], -1)
    share = np.sum(true**2) / np.sum((q - p) ** 2)
    np.testing.assert_allclose(row["true_class_share"], share, rtol=1e-5)
    np.testing.assert_allclose(row["dark_knowledge_share"], 1.0 - share, rtol=1e-5)
    entropies = []
    for half in halves:
        weights = p[half].max(-1).ravel() / p[half].max(-1).sum()
        entropies.append(-np.sum(weights * np.log(weights)) / np.log(weights.size))
    np.testing.assert_allclose(row["weight_entropy"], np.mean(entropies), rtol=1e-5)
    expected, _ = np.histogram(p.max(-1), 20, (0, 1))
    assert row["teacher_confidence_histogram"] == expected.tolist()
    assert sum(row["weight_histogram"]) == labels.size


def test_equal_weights_have_full_entropy_and_a_perfect_student_no_gradient():
    logits = np.eye(4, dtype="float32") * 5
    row = analysis.summarize([analysis.decompose(np.arange(4), logits, logits)])
    assert row["weight_entropy"] == pytest.approx(1.0)
    assert row["true_class_share"] == row["dark_knowledge_share"] == 0.0
    assert row["teacher_agreement"] == 1.0 and row["kl_divergence"] == pytest.approx(0.0)


def _model(activation=None):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, activation=activation)])


def test_each_epoch_is_analysed_kept_and_logged(tmp_path):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    y = x[:, :3].argmax(-1)
    model = ban_tf.BornAgainModel(_model("softmax"), teacher=_model("softmax"), objective="kd")
    model.compile(keras.optimizers.SGD(0.5))
    for epochs in (2, 3):  # the second training resumes the first
        callback = analysis.Analysis(
            [(x[:32], y[:32]), (x[32:], y[32:])], tmp_path / "analysis.json", tmp_path / "logs"
        )
        model.fit(
            x,
            y,
            initial_epoch=0 if epochs == 2 else 2,
            epochs=epochs,
            verbose=0,
            callbacks=[callback],
        )
    assert [row["epoch"] for row in callback.rows] == [1, 2, 3]
    assert json.loads((tmp_path / "analysis.json").read_text()) == callback.rows
    assert callback.rows[2]["kl_divergence"] < callback.rows[0]["kl_divergence"]
    probabilities = [
        network.predict(x, verbose=0) for network in (*model.teacher.models, model.student)
    ]
    agreement = np.mean(probabilities[0].argmax(-1) == probabilities[1].argmax(-1))
    np.testing.assert_allclose(callback.rows[2]["teacher_agreement"], agreement, atol=1e-6)
    assert _tags(tmp_path / "logs") == {
        f"analysis/{name}" for name in callback.rows[0] if name != "epoch"
    }


def _tags(directory):
    (file,) = directory.glob("events.out.tfevents.*")
    return {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


@pytest.mark.nightly
def test_a_generation_without_a_teacher_is_passed_over():
    model = ban_tf.BornAgainModel(_model())
    model.compile("sgd")
    callback = analysis.Analysis([(np.ones((2, 5)), np.zeros(2))])
    model.fit(np.ones((2, 5)), np.zeros(2), verbose=0, callbacks=[callback])
    assert callback.rows == []


def _rows(**changed):
    row = {"epoch": 1, "weight_entropy": 1.0, **dict.fromkeys(analysis.QUANTITIES, 0.5)}
    row |= {name: [1] * analysis.BINS for name in analysis.RANGES}
    return json.dumps([{**row, **changed}]).encode()


HOSTILE = {
    "nothing": b"",
    "no rows": b"[]",
    "a dictionary": b"{}",
    "no keys": b"[{}]",
    "deep nesting": b"[" * 100_000,
    "bytes that are no text": b"\xff",
    "an epoch of text": _rows(epoch="1"),
    "an epoch below 1": _rows(epoch=0),
    "a share of text": _rows(dark_knowledge_share="x"),
    "counts below 0": _rows(weight_histogram=[-1] * analysis.BINS),
    "a trillion counts": _rows(weight_histogram=[10**12] * analysis.BINS),
    "another number of bins": _rows(weight_histogram=[1]),
}


def test_rows_of_an_analysis_that_make_no_sense_are_refused(tmp_path):
    file = tmp_path / "analysis.json"
    file.write_bytes(_rows(kl_divergence=float("nan")))
    assert analysis.read(file)[0]["epoch"] == 1
    for kind, content in HOSTILE.items():
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"analysis\.json.*delete it to continue without"):
            analysis.read(file)
            raise AssertionError(kind)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "analysis.json").symlink_to(file)
    file.write_bytes(_rows())
    with pytest.raises(ValueError, match="a symbolic link leads out of the run"):
        analysis.read(tmp_path / "run" / "analysis.json", tmp_path / "run")


def test_logits_of_different_shapes_and_no_batches_are_refused():
    with pytest.raises(ValueError, match=r"one shape, .*Received: \(2, 3\) and \(2, 4\)"):
        analysis.decompose([0, 1], np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"\[batch, \.\.\., classes\]\. Received: \(\) and \(\)"):
        analysis.decompose([0, 1], None, None)
    with pytest.raises(ValueError, match=r"`labels` must have .*\(2,\)\. Received: \(3,\)"):
        analysis.decompose([0, 1, 1], np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="`batches` is empty"):
        analysis.summarize([])
    with pytest.raises(ValueError, match="`batches` must be a list of what `decompose` returned"):
        analysis.summarize(analysis.decompose([0, 1], np.zeros((2, 3)), np.zeros((2, 3))))


def test_batches_that_only_the_first_epoch_would_read_are_refused():
    pairs = [(np.zeros((2, 3)), [0, 1])]
    with pytest.raises(ValueError, match=r"`batches` must be a list .* every epoch reads"):
        analysis.Analysis(iter(pairs))
    assert analysis.Analysis(pairs).rows == []


def test_logits_may_be_whole_numbers():
    logits = np.array([[1, 2, 0], [3, 0, 0]])
    found = analysis.decompose([0, 1], logits, logits[::-1])
    expected = analysis.decompose([0, 1], logits.astype("float32"), logits[::-1].astype("float32"))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
