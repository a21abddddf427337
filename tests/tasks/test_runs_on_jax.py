"""Runs of the command line on JAX, in processes in which nothing can import TensorFlow."""

import hashlib
import json
import os
import subprocess
import sys

import jax_process
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ban_tf
from ban_tf import datasets
from ban_tf.config import options
from ban_tf.report import page, tensorboard
from ban_tf.runs import reading
from ban_tf.tasks import runner

pytestmark = [pytest.mark.slow, jax_process.needed]

# A network that is compiled in a moment.
NETWORK = """
import keras

def build(input_shape, num_classes):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Conv2D(4, 3, strides=2, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(num_classes),
    ])
"""
# Runs commands one after the other; with `callbacks`, the second epoch of generation 1 ends as by a
# kill, for which nothing is written. Plots, half of the time of such a run, are drawn where needed.
PROGRAM = (
    jax_process.WITHOUT_TENSORFLOW
    + """
import json
import keras
from ban_tf.cli import verbs
from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.report import page, tensorboard
from ban_tf.tasks import other_backends, runner

class Killed(BaseException):
    pass

class Kill(keras.callbacks.Callback):
    def __init__(self, number):
        super().__init__()
        self.number, self.steps = number, 0
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.number == 1 and self.steps == 6:
            raise Killed

def kill(run, number):
    return [Kill(number)]

sys.modules["killing"] = sys.modules["__main__"]
drawing = page.write, tensorboard.write_summary
nothing = (lambda found: ""), (lambda *given: None)
for flags in json.loads(sys.argv[1]):
    drawn = flags.pop("drawn", False)
    page.write, tensorboard.write_summary = drawing if drawn else nothing
    try:
        runner.run(options.Options(**flags))
    except Killed:
        print("killed", flags["workdir"])
page.write, tensorboard.write_summary = drawing
for flags in json.loads(sys.argv[3]):
    try:
        other_backends.check(options.Options(**flags))
    except InputError as error:
        print("refused", flags, error)
for arguments in json.loads(sys.argv[2]):
    print("$", *arguments, flush=True)
    print("code", verbs.main(arguments), flush=True)
"""
)
RUN = {
    "dataset": "digits",
    "arch": "small:build",
    "gens": 1,
    "epochs": 2,
    "batch_size": 16,
    "train_examples": 70,
    "augment": "crop",
    "teacher_signal": "recorded",
    "progress": "none",
    "checkpoint_steps": 1,
}
QUICK = {"gens": 1, "epochs": 1, "batch_size": 16, "progress": "none"}
TABLE = {**QUICK, "dataset": "csv:rows.csv", "target": "size", "arch": "mlp-1-8"}
DOCUMENTS = {**QUICK, "gens": 0, "dataset": "csv:texts.csv", "arch": "text-cnn-4"}
TEXT = {**QUICK, "dataset": "text:lines.txt", "arch": "lstm-1-4", "batch_size": 4, "unroll": 8}

REFUSED = [
    {"dataset": "multilabel:tfds:voc"},
    {"sync_batch_norm": True},
    {"threads": 1},
    {"profile": True},
]


def _on_jax(runs, commands, folder, refused=()):
    given = (json.dumps(argument) for argument in (runs, commands, refused))
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *given],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            # Runs of the same network need not compile again.
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _weights(run):
    return [
        hashlib.sha256(b"".join(w.tobytes() for w in run.model(number).get_weights())).hexdigest()
        for number in run.generations
    ]


def _write_data(folder):
    """Writes a table with columns of all kinds, labeled texts, and a text."""
    random = np.random.default_rng(0)
    rows, texts, lines = ["size,color,day,width"], ["text,label,split"], []
    for row in range(60):
        width, color = random.normal(), random.choice(["red", "blue", ""])
        day = f"2024-{row % 12 + 1:02}-1{row % 9}"
        rows.append(f"{2 * width + (color == 'red'):.3f},{color},{day},{width:.3f}")
        words = random.choice(["a", "cat", "dog", "Ran", "off!"], 5)
        texts.append(
            f"{' '.join(words)},{'ab'[words[0] == 'cat']},{'train' if row < 40 else 'test'}"
        )
        lines.append(" ".join(words))
    for name, content in {"rows.csv": rows, "texts.csv": texts, "lines.txt": lines}.items():
        (folder / name).write_text("\n".join(content))


def _place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    (folder / "small.py").write_text(NETWORK)
    return folder


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A single run on JAX."""
    folder = _place(tmp_path_factory)
    process = _on_jax([{**RUN, "epochs": 1, "workdir": str(folder / "whole")}], [], folder)
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on JAX, one of them also killed and resumed, and on TensorFlow; each night."""
    folder = _place(tmp_path_factory)
    _write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        runner.run(options.Options(**RUN, workdir="theirs"))
        patch.setattr(page, "write", lambda found: "")
        patch.setattr(tensorboard, "write_summary", lambda *given: None)
        runner.run(options.Options(**TABLE, workdir="their table"))
    whole, killed = ({**RUN, "workdir": str(folder / name)} for name in ("whole", "killed"))
    first = str(folder / "theirs" / "generation-0" / "model.keras")
    taught = {**RUN, "teacher_from": first, "recordings": str(folder / "ours")}
    commands = [
        ["report", "killed"],
        ["predict", "killed", "digit.png"],
        ["evaluate", "theirs", "--dataset=digits"],
        ["export", "killed", "--to=keras", "--output=exported.keras"],
        ["export", "killed", "--to=litert", "--output=exported.tflite"],
        ["evaluate", "their table", "--dataset=csv:rows.csv"],
        ["predict", "documents", "--lines", "lines.txt"],
        ["evaluate", "text", "--dataset=text:lines.txt"],
        ["train", "--dataset=digits", "--threads=2"],  # which ends the process
    ]
    image = datasets.load("digits").test.images[0]
    keras_image = np.repeat(image, 3, axis=-1)
    from PIL import Image

    Image.fromarray(keras_image).save(folder / "digit.png")
    taught["workdir"] = str(folder / "taught")
    runs = [
        # The first one, since JAX is told how many devices there are before it starts.
        {**RUN, "workdir": "shared", "strategy": "mirrored", "virtual_devices": 2},
        {**killed, "callbacks": "killing:kill"},
        {**killed, "drawn": True},
        whole,
        taught,
        {**TABLE, "workdir": "table"},
        {**DOCUMENTS, "workdir": "documents"},
        {**TEXT, "workdir": "text"},
    ]
    process = _on_jax(runs, commands, folder, REFUSED)
    assert process.returncode in (0, 2), process.stderr
    (folder / "output.txt").write_text(process.stdout)
    (folder / "errors.txt").write_text(process.stderr)
    return folder


@pytest.mark.nightly
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(folder):
    whole, killed = (ban_tf.Run(folder / name) for name in ("whole", "killed"))
    assert _weights(whole) == _weights(killed) and len(_weights(whole)) == 2
    assert whole.summary["generations"][1]["error"] == killed.summary["generations"][1]["error"]
    rows = [len(killed.history[number]) for number in (0, 1)]
    assert rows == [2, 2]
    for row, same in zip(whole.history[1], killed.history[1], strict=True):
        assert row["loss"] == same["loss"] and row["val_accuracy"] == same["val_accuracy"]


@pytest.mark.nightly
def test_two_devices_compute_what_one_does(folder):
    shared, whole = (ban_tf.Run(folder / name) for name in ("shared", "whole"))
    assert "on 2 devices of JAX" in (folder / "output.txt").read_text().replace("\n", " ")
    for number in (0, 1):
        for found, expected in zip(
            shared.model(number).get_weights(), whole.model(number).get_weights(), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.nightly
def test_it_has_the_files_of_a_run_on_tensorflow(folder):
    def names(run):
        return {
            path.relative_to(run).as_posix()
            for path in run.rglob("*")
            if path.is_file() and "events" not in path.name and "recordings" not in path.parts
        }

    assert names(folder / "killed") == names(folder / "theirs")
    for name in ("generation-0", "generation-1", "generations"):
        tags = []
        for run in ("killed", "theirs"):
            events = EventAccumulator(str(folder / run / "tensorboard" / name))
            events.Reload()
            tags.append(events.Tags()["tensors"])
        assert tags[0] == tags[1] and tags[0]


def test_its_generations_predict_the_same_on_tensorflow(short):
    run = ban_tf.Run(short / "whole")
    assert [row["taught_by"] for row in run.summary["generations"]] == ["labels", "generation 0"]
    data = datasets.load("digits", train_examples=70)
    expected = reading.read_predictions(run.files, 2)[1]
    found = np.log(run.predict(data.test.images, 1))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.nightly
def test_generations_and_recordings_of_tensorflow_are_used(folder):
    output = (folder / "output.txt").read_text()
    error = ban_tf.Run(folder / "theirs").summary["generations"][1]["error"]
    assert f"{100 * error:.2f}" in output.partition("$ evaluate")[2].partition("$ export")[0]
    # The teacher is the same network with the same weights: recordings have the same names, and
    # but for rounding to half precision the same numbers.
    theirs = next(iter((folder / "theirs" / "recordings").glob("*/view-00001.npy")))
    ours = folder / "ours" / theirs.parent.name / theirs.name
    difference = np.abs(np.load(ours).astype("float32") - np.load(theirs).astype("float32"))
    assert np.mean(difference > 1e-5) < 0.01
    np.testing.assert_allclose(difference, 0, atol=0.01)


@pytest.mark.nightly
def test_commands_work_and_what_needs_tensorflow_says_so(folder):
    output, errors = ((folder / name).read_text() for name in ("output.txt", "errors.txt"))
    codes = [line for line in output.splitlines() if line.startswith("code")]
    assert codes == [f"code {code}" for code in (0, 0, 0, 0, 2, 0, 0, 0)], (output, errors)
    assert f"killed {folder / 'killed'}" in output
    assert (folder / "killed" / "report.html").stat().st_size > 10_000
    assert (folder / "exported.keras").exists()
    assert "--to=litert needs TensorFlow" in errors
    assert "--threads=2 needs TensorFlow" in errors
    refused = [line for line in output.splitlines() if line.startswith("refused")]
    assert len(refused) == len(REFUSED) and all("TensorFlow" in line for line in refused)
    assert "digit.png\t" in output


@pytest.mark.nightly
def test_models_of_tables_and_texts_predict_the_same_on_tensorflow(folder):
    output = (folder / "output.txt").read_text()
    table, theirs, documents, text = (
        ban_tf.Run(folder / name) for name in ("table", "their table", "documents", "text")
    )
    result = theirs.summary["generations"][1]
    assert f"{result['rmse']:.4g}" in output.partition("$ evaluate their")[2]
    for run, dataset, key in (
        (table, f"csv:{folder / 'rows.csv'}", "rmse"),
        (documents, f"csv:{folder / 'texts.csv'}", "negative_log_likelihood"),
        (text, f"text:{folder / 'lines.txt'}", "perplexity"),
    ):
        found = run.evaluate(dataset)["generations"][-1]
        whole = run.summary["generations"][-1]
        if key != "perplexity":  # of which the whole file was read above
            assert found[key] == pytest.approx(whole[key], rel=1e-5)
    shown = output.partition("$ evaluate text")[2]
    assert f"{found['perplexity']:.2f}" in shown
    likely = documents.predict((folder / "lines.txt").read_text().splitlines())
    lines = output.partition("$ predict documents")[2].splitlines()[1:61]
    assert [line.split("\t")[2] for line in lines] == ["ab"[row.argmax()] for row in likely]
