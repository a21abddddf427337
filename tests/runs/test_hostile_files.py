"""Files that match their hash and were made to do harm: one sentence that names the file."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import tracemalloc

import keras
import numpy as np
import one_convolution
import pytest
from PIL import Image

from ban_tf.cli import evaluate, export, predict, report, runs
from ban_tf.config import options
from ban_tf.errors import BanError, CorruptFileError, RunDirectoryError, SaveError
from ban_tf.report import tensorboard
from ban_tf.runs import generations
from ban_tf.runs.rundir import LOCK, MANIFEST, PREVIOUS, ReadOnlyDirectory, RunDirectory
from ban_tf.system import archives
from ban_tf.tasks import results, runner
from tests.runs import hostile
from tests.tiny_lineage import build, interrupted_twice, run_once

MEGABYTES, SECONDS = 500, 20

# Which commands read a file.
READERS = {
    MANIFEST: ("report", "predict", "evaluate", "export"),
    "data.json": ("report", "predict", "evaluate", "export"),
    "summary.json": ("report",),
    "test.npz": ("report",),
    "generation-0/history.csv": ("report",),
    "generation-1/predictions.npz": ("report",),
    "ensemble.keras": ("predict", "export"),
    "generation-0/model.keras": ("evaluate",),
}
LISTED = [name for name in READERS if name != MANIFEST]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    Image.new("L", (8, 8)).save(folder / "image.png")
    return hostile.make(folder / "run")


@pytest.fixture
def run(original, tmp_path):
    """A copy of the run, beside another one that is in order."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(original, tmp_path / "runs" / "good")
    return shutil.copytree(original, tmp_path / "runs" / "bad")


@pytest.fixture
def call(original, tmp_path):
    """Calls a command on a run; returns its exit code."""
    image = str(original.parent / "image.png")
    exported = f"--output={tmp_path / 'model.keras'}"
    commands = {
        "report": lambda path: report.main([path]),
        "predict": lambda path: predict.main([path, image]),
        "evaluate": lambda path: evaluate.main([path, "--dataset=digits"]),
        "export": lambda path: export.main([path, "--to=keras", exported]),
    }
    return lambda command, path: commands[command](str(path))


def refused(run, name, call, capsys, commands=None):
    """Checks that each reader of a file refuses it in a line, and soon."""
    for command in commands or READERS[name]:
        started = time.monotonic()
        assert call(command, run) == 2, f"{command} accepted {name}"
        assert time.monotonic() - started < SECONDS
        said = capsys.readouterr().err.strip()
        assert len(said.splitlines()) == 1 and name in said and len(said) < 1000, said


@contextlib.contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


def listed(run, capsys):
    """Checks that `runs` lists a run and the one beside it; returns what it prints."""
    assert runs.main([str(run.parent)]) == 0
    out = capsys.readouterr().out
    found = {status.path.name: status for status in runs.find(run.parent)}
    assert found["good"].state == "finished" and set(found) == {"good", "bad"}
    return found["bad"], out


def test_the_run_itself_is_read_by_every_command(run, call, capsys):
    for command in READERS[MANIFEST]:
        assert call(command, run) == 0
    assert listed(run, capsys)[0].state == "finished"


@pytest.mark.parametrize("kind", hostile.SPECIAL)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_the_run_is_refused(run, call, capsys, name, kind):
    if name == MANIFEST:
        (run / PREVIOUS).unlink(missing_ok=True)
    hostile.SPECIAL[kind](run / name)
    refused(run, name, call, capsys)
    status, out = listed(run, capsys)
    if name in (MANIFEST, "summary.json"):
        assert str(run / name) in status.trouble and status.trouble in out


CONTENTS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number that is none": b"NaN",
    "bytes that are no text": b"\xff\xfe\x00",
    "deep nesting": hostile.DEEP,
    "a number of five thousand digits": b"9" * 5000,
    "an array of objects": hostile.npz(**{"00000": np.array([{}], object)}),
    "an empty archive": hostile.zipped({}),
    "other arrays": hostile.npz(x=np.zeros(3)),
    "a line of a megabyte": b'epoch,"' + b"x" * 2**20,
    "ten million rows": b"epoch\n" + b"1\n" * 10**7,
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in LISTED
        for kind in CONTENTS
        if (name[-4:], kind) != (".csv", "nothing")  # a table without rows
    ],
)
def test_other_contents_are_refused(run, call, capsys, name, kind):
    hostile.replace(run, name, CONTENTS[kind])
    refused(run, name, call, capsys)
    status, out = listed(run, capsys)
    if name == "summary.json":
        assert status.state == "interrupted" and status.trouble in out and name in out


@pytest.mark.parametrize("kind", [kind for kind in CONTENTS if kind != "nothing"])
def test_manifests_of_other_contents_are_refused(run, call, capsys, kind):
    (run / MANIFEST).write_bytes(CONTENTS[kind])
    (run / PREVIOUS).unlink(missing_ok=True)
    refused(run, MANIFEST, call, capsys)
    status, out = listed(run, capsys)
    assert status.state == "unreadable" and status.trouble in out
    with pytest.raises(RunDirectoryError, match=MANIFEST):
        RunDirectory(run)


@pytest.mark.parametrize("name", READERS)
def test_files_that_are_too_long_are_not_read(run, call, capsys, name):
    with (run / name).open("r+b") as file:
        file.truncate(2**40)  # takes no space
    if name == MANIFEST:
        (run / PREVIOUS).unlink(missing_ok=True)
    else:
        hostile.change_manifest(run, lambda facts: facts["files"][name].update(size=2**40))
    with little_memory():
        refused(run, name, call, capsys)


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        for key in keys:
            content = content[key]
        if value is KeyError:
            del content[last]
        else:
            content[last] = value

    return change


NAN, INFINITE = float("nan"), float("inf")
_FIRST = ("generations", 0)
SUMMARIES = [
    *(_set(*_FIRST, "error", value) for value in (NAN, -0.1, INFINITE, 2, "0.1", None, [], True)),
    *(_set(*_FIRST, key, KeyError) for key in ("error", "taught_by", "extra", "error_interval")),
    *(_set(*_FIRST, "examples", value) for value in (0, -1, 1.5, 10**400)),
    *(_set(*_FIRST, "error_interval", value) for value in (None, [0.1], ["0", "1"], [NAN, 1])),
    *(_set(*_FIRST, "seconds", value) for value in (-1, NAN, "1", INFINITE)),
    *(_set(*_FIRST, "generation", value) for value in (1, -1, "0", 10**9)),
    *(_set("generations", 1, "change_in_error", value) for value in ([], "worse", {}, True)),
    _set("generations", 1, "change_in_error", "mcnemar_p", NAN),
    _set("generations", 1, "change_in_error", "difference", "-1"),
    _set("generations", 1, "perplexity", 2.0),
    *(_set(*_FIRST, "extra", value) for value in (None, [], "collapsed")),
    *(_set("generations", value) for value in ([], {}, None, [None])),
    *(_set("ensembles", 0, "members", value) for value in ([], [99], [-1], "01", [0.5])),
    *(_set("run", key, value) for key in ("seed", "dataset", "objective") for value in (None, [])),
    *(_set("run", key, ["x"]) for key in ("environment", "files", "command", "finished", "epochs")),
    _set("run", "environment", {"keras": {}}),
    *(_set("average", value) for value in ("median", None, [])),
    *(_set("format", value) for value in (2, "1", None)),
    _set("final_student", {}),
]
DATAS = [
    *(_set("class_names", value) for value in ([], [1] * 10, "0123456789", None, ["a"])),
    *(_set("input_shape", value) for value in ([8, 8], [8, 8, -1], [10**5, 10**5, 1], [8, 8, 1.0])),
    *(_set("input_shape", value) for value in ("881", None, [9, 9, 1], [True, True, True])),
    *(_set(key, value) for key in ("mean", "std") for value in ([], [NAN], ["0"], 0.5, [0.1, 0.2])),
    *(_set("std", value) for value in ([0], [-1], [INFINITE])),
    *(_set(key, KeyError) for key in ("dataset", "class_names", "input_shape", "mean", "std")),
    _set("dataset", 5),
]
JSON = {"summary.json": SUMMARIES, "data.json": DATAS}


@pytest.mark.parametrize("name", JSON)
def test_values_that_make_no_sense_are_refused(run, call, capsys, name):
    content = (run / name).read_bytes()
    command = ("report",) if name == "summary.json" else None
    for number, change in enumerate(JSON[name]):
        hostile.replace(run, name, content)
        hostile.change_json(run, name, change)
        # Each command once, and one that loads no model for all values.
        refused(run, name, call, capsys, command if number == 0 else _quickest(change, name))
    listed(run, capsys)


def _quickest(change, name):
    return ("report",) if name == "summary.json" else ("export",)


_OF_FIRST = ("facts", "generations", "0")
MANIFESTS = [
    *(_set(*_OF_FIRST, "epochs", value) for value in (-1, 0, "1", NAN, 1.5, None, 10**400, True)),
    *(_set(*_OF_FIRST, "finished", value) for value in (1, "true", None)),
    *(_set(*_OF_FIRST, "teachers", value) for value in ([], None, {"0": 1})),
    *(_set(*_OF_FIRST, "kept", value) for value in ([], {"val_loss": "x"})),
    *(_set(*_OF_FIRST, key, KeyError) for key in ("epochs", "finished", "teachers")),
    *(_set("facts", "generations", number, {}) for number in ("-1", "²", "x", "", "01", "0\n")),
    *(_set("facts", "generations", value) for value in ([], "0", None, {"0": []})),
    *(_set("facts", "settings", value) for value in ([], "kd", None)),
    *(_set("facts", "teacher_signal", value) for value in ([], {}, {"recorded": 1, "views": -1})),
    *(_set("facts", "precision", value) for value in (5, "float8")),
    *(_set("facts", "recipe", value) for value in ([], {"epochs": -1}, {"epochs": "2"})),
    *(_set("facts", value) for value in ([], None, KeyError)),
    *(_set("files", value) for value in ([], None, KeyError)),
    *(
        _set("files", name, {"size": 1, "sha256": "0" * 64})
        for name in ("../x", "/etc/passwd", "a/../../x", "", "a\0b", "\ud800", "..\\x")
    ),
    *(_set("files", "data.json", value) for value in ([], None, "x", {})),
    *(_set("files", "data.json", "size", value) for value in (-1, "1", NAN, 1.5)),
    *(_set("files", "data.json", "sha256", value) for value in (5, "", "x" * 64, "A" * 10**6)),
    *(_set("files", "data.json", "former", value) for value in ({}, [[]], [{"size": 1}])),
    *(_set("format", value) for value in (2, "1", None, KeyError)),
    _set("x" * 10**6, 1),
]
SETTINGS = [
    _set("facts", "settings", key, value)
    for key, value in (
        *(("dataset", 5), ("dataset", []), ("teacher_from", 5), ("arch", {})),
        *(("ensemble_average", "median"), ("batch_size", "8"), ("unroll", -1)),
        *(("skip_bad_files", 3), ("test_fraction", "x"), ("test_fraction", 2.0)),
    )
]


def test_manifests_of_values_that_make_no_sense_are_refused(run, call, capsys):
    content = (run / MANIFEST).read_bytes()
    for change in MANIFESTS:
        (run / MANIFEST).write_bytes(content)
        hostile.change_manifest(run, change)
        refused(run, MANIFEST, call, capsys, ("report",))
        for reader in (RunDirectory, ReadOnlyDirectory):
            with pytest.raises(RunDirectoryError, match=MANIFEST), reader(run) as directory:
                assert directory.metadata
    status, out = listed(run, capsys)
    assert status.state == "unreadable" and status.trouble in out


def test_settings_of_other_types_are_refused_by_what_needs_them(run, call, capsys):
    content = (run / MANIFEST).read_bytes()
    for change in SETTINGS:
        (run / MANIFEST).write_bytes(content)
        hostile.change_manifest(run, change)
        refused(run, MANIFEST, call, capsys, ("predict", "export"))
        assert listed(run, capsys)[0].state == "unreadable"


def test_a_time_that_no_calendar_has_is_listed(run, capsys):
    for seconds in (2**33, 2**40, -(2**40)):  # as far as the file system takes them
        os.utime(run / MANIFEST, (seconds, seconds))
        assert listed(run, capsys)[0].state == "finished"


def test_generations_with_a_gap_are_refused(run, call, capsys):
    hostile.change_manifest(run, _set("facts", "generations", "0", KeyError))
    refused(run, MANIFEST, call, capsys, ("predict", "evaluate", "export"))


BOMBS = {
    "test.npz": {
        "a bomb": lambda: hostile.bomb("labels.npy"),
        "a claim": lambda: hostile.claiming("labels"),
        "a hundred thousand entries": lambda: hostile.npz() + archives._ENTRY * 100_000,
    },
    "generation-1/predictions.npz": {
        "a bomb": lambda: hostile.bomb("00000.npy"),
        "a claim": hostile.claiming,
        "NaN": lambda: hostile.npz(**{"00000": np.full((hostile.EXAMPLES, 10), np.nan)}),
        "probabilities": lambda: hostile.npz(**{"00000": np.full((hostile.EXAMPLES, 10), 0.1)}),
        "other shape": lambda: hostile.npz(**{"00000": np.log(np.full((3, 2), 0.5))}),
        "text": lambda: hostile.npz(**{"00000": np.array([["a"]])}),
    },
    "ensemble.keras": {"a bomb": lambda: hostile.bomb("config.json")},
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in BOMBS for kind in BOMBS[name]])
def test_arrays_that_claim_or_hold_too_much_are_refused(run, call, capsys, name, kind):
    hostile.replace(run, name, BOMBS[name][kind]())
    with little_memory():
        refused(run, name, call, capsys)


def test_labels_and_images_that_do_not_belong_together_are_refused(run, call, capsys):
    labels, shown = np.zeros(hostile.EXAMPLES, int), np.arange(2)
    images = np.zeros((2, 8, 8, 1), np.uint8)
    for changed in (
        *({"labels": labels - 1}, {"labels": labels + 10}, {"labels": labels[:0]}),
        *({"labels": labels / 2}, {"labels": labels[:, None]}, {"labels": labels[:3]}),
        *({"shown": shown + 1000}, {"shown": shown[:1]}, {"images": images[:, :4]}),
        *({"images": images / 2}, {"images": images[0]}),
    ):
        arrays = {"labels": labels, "shown": shown, "images": images, **changed}
        hostile.replace(run, "test.npz", hostile.npz(**arrays))
        assert call("report", run) == 2
        said = capsys.readouterr().err
        assert ".npz" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "kind", [*hostile.WEIGHTS, "NaN", "deep", "no network", "one entry", "huge"]
)
def test_broken_models_are_refused(run, call, capsys, kind):
    name = "generation-0/model.keras"
    model = (run / name).read_bytes()
    if kind == "NaN":
        network = hostile._network()
        network.set_weights([np.full(array.shape, np.nan) for array in network.get_weights()])
        changed = hostile.keras_bytes(network, run.parent)
    elif kind == "one entry":
        changed = hostile.zipped({"config.json": b"{}"})
    else:
        entries = {
            "deep": {"config_json": hostile.DEEP},
            "huge": {"config_json": hostile.huge_config()},
            "no network": {"config_json": b'{"class_name": "Lambda", "config": {}}'},
        }
        changed = hostile.keras_with(
            model, **entries.get(kind, {"model_weights_h5": hostile.WEIGHTS.get(kind, b"")})
        )
    hostile.replace(run, name, changed)
    with little_memory():
        refused(run, name, call, capsys)


def test_models_of_other_images_are_refused(run, call, capsys):
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    other = hostile.keras_bytes(keras.Sequential(layers), run.parent)
    for name in ("ensemble.keras", "generation-0/model.keras"):
        hostile.replace(run, name, other)
    refused(run, "data.json", call, capsys, ("predict", "evaluate", "export"))


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a link out of the run"])
def test_a_lock_or_flagfile_that_is_no_file_keeps_nobody_waiting(run, capsys, kind):
    for name in (LOCK, "run.cfg"):
        hostile.SPECIAL[kind](run / name)
    listed(run, capsys)
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        RunDirectory(run)


def test_nothing_is_written_or_deleted_through_a_link(run, tmp_path, call, capsys):
    elsewhere = tmp_path / "elsewhere"
    (run / "generation-0").rename(elsewhere)
    (run / "generation-0").symlink_to(elsewhere)
    (elsewhere / "saved_model.pb").write_text("mine")
    (run / "export").symlink_to(tmp_path)
    before = sorted(path.name for path in elsewhere.iterdir())
    with RunDirectory(run) as directory:
        with pytest.raises(BanError, match="a symbolic link leads out of the run"):
            directory.commit({"generation-0/new": b""})
        with pytest.raises(BanError, match="a symbolic link leads out of the run"):
            directory.commit(remove=["generation-0/model.keras"])
    assert export.main([str(run), "--to=saved_model"]) == 2
    assert sorted(path.name for path in elsewhere.iterdir()) == before


@pytest.mark.parametrize("name", ["tensorboard", "tensorboard/generation-0"])
def test_no_events_of_others_are_deleted_through_a_link(name, run, tmp_path):
    events = tmp_path / "elsewhere" / "generation-0" / "events.out.tfevents.1"
    events.parent.mkdir(parents=True)
    events.write_text("mine")
    target = tmp_path / "elsewhere" / name.partition("/")[2]
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(target)
    with RunDirectory(run) as directory, pytest.raises(SaveError, match="leads out of the run"):
        scalars = tensorboard.TensorBoardScalars(directory.folder("tensorboard"), 0)
        scalars.on_train_begin()
    assert events.read_text() == "mine"


def test_a_temporary_file_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with RunDirectory(tmp_path / "run") as directory:
        (tmp_path / "run" / ".ban_tf-a.partial").symlink_to(tmp_path / "mine")
        directory.commit({"a": b"1"})
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "run" / "a").is_symlink()


# Resuming: what has another copy is replaced by it, what has none is named.


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run with two checkpoints of its first generation."""
    path = tmp_path_factory.mktemp("interrupted") / "run"
    interrupted_twice(path)
    assert len(list(path.glob("generation-0/checkpoint-*"))) == 2
    return path


def _with_notes(content, change):
    found = archives.arrays(content, "x")
    notes = archives.json_schema.parse(found.pop("notes").tobytes(), "x")
    change(notes)
    from ban_tf.training import checkpoints

    return checkpoints.pack([found[key] for key in sorted(found)], notes)


def _with_nan(content):
    found = archives.arrays(content, "x")
    return hostile.npz(**{**found, "00000": np.full_like(found["00000"], np.nan)})


CHECKPOINTS = {
    **{kind: lambda content, kind=kind: CONTENTS[kind] for kind in CONTENTS},
    "a bomb": lambda content: hostile.bomb("notes.npy"),
    "a claim": lambda content: hostile.claiming("notes"),
    "deep notes": lambda content: hostile.npz(notes=np.frombuffer(hostile.DEEP, np.uint8)),
    "NaN": _with_nan,
    **{
        f"notes: {change[-2:]}": lambda content, change=change: _with_notes(content, _set(*change))
        for change in (
            *(
                ("epochs", -1),
                ("epochs", "1"),
                ("step", None),
                ("seconds", NAN),
                ("metrics", 10**6),
            ),
            *(("metrics", -3), ("metrics", KeyError), ("best_weights", 0), ("best", [])),
            *(("history", {}), ("history", [{}]), ("history", 0, "loss", "x"), ("timings", [[]])),
            *(("measured", []), ("stopped", "no"), ("unvalidated", [1])),
        )
    },
}


def test_hostile_checkpoints_are_reported_and_the_one_before_is_used(interrupted, tmp_path, caplog):
    from ban_tf.training import checkpointing

    run = shutil.copytree(interrupted, tmp_path / "run")
    before, last = sorted(path.name for path in run.glob("generation-0/checkpoint-*"))
    content = (run / "generation-0" / last).read_bytes()
    restored = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpointing.checkpoints, "restore", lambda *given: restored.append(given))
        for kind, change in CHECKPOINTS.items():
            hostile.replace(run, f"generation-0/{last}", change(content))
            caplog.clear()
            with RunDirectory(run) as directory:
                found = checkpointing.restore(None, directory, "generation-0")
            assert found is not None and last in caplog.text and before not in caplog.text, kind
            assert "Resuming from the checkpoint before it" in caplog.text
    assert len(restored) == len(CHECKPOINTS)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link out of the run"])
def test_checkpoints_that_are_no_files_are_reported(interrupted, tmp_path, caplog, kind):
    run = shutil.copytree(interrupted, tmp_path / "run")
    last = sorted(run.glob("generation-0/checkpoint-*"))[-1]
    hostile.SPECIAL[kind](last)
    # A folder cannot be deleted like a checkpoint that is no longer needed.
    expected = pytest.raises(SaveError) if kind == "a folder" else contextlib.nullcontext()
    with expected:
        run_once(run)
    assert last.name in caplog.text


def test_a_checkpoint_of_another_network_is_named(interrupted, tmp_path):
    run = shutil.copytree(interrupted, tmp_path / "run")
    last = sorted(run.glob("generation-0/checkpoint-*"))[-1].name
    content = (run / "generation-0" / last).read_bytes()
    found = archives.arrays(content, "x")
    for other in (found["00000"][:1], np.full(found["00000"].shape, "x")):
        hostile.replace(run, f"generation-0/{last}", hostile.npz(**{**found, "00000": other}))
        with pytest.raises(RunDirectoryError, match=f"{last}.*belongs to another model"):
            run_once(run)


MODELS = {
    **{kind: lambda model, kind=kind: CONTENTS[kind] for kind in CONTENTS},
    **{
        kind: lambda model, kind=kind: hostile.keras_with(
            model, model_weights_h5=hostile.WEIGHTS[kind]
        )
        for kind in hostile.WEIGHTS
    },
    "a bomb": lambda model: hostile.bomb("model.weights.h5"),
}


@pytest.mark.nightly
def test_a_finished_generation_of_hostile_content_is_named_and_its_tables_are_left_out(
    tmp_path, caplog
):
    run, name = tmp_path / "run", "generation-0/model.keras"
    run_once(run)
    model = (run / name).read_bytes()
    for kind, change in MODELS.items():
        hostile.replace(run, name, change(model))
        with (
            RunDirectory(run) as directory,
            pytest.raises(RunDirectoryError, match=r"model\.keras.*from a backup"),
        ):
            generations.read(directory, 0, {}, build)
            raise AssertionError(kind)
    hostile.replace(run, name, model)
    hostile.replace(run, "generation-0/history.csv", CONTENTS["null"])
    caplog.clear()
    assert run_once(run).generations[0].history == []
    assert "history.csv" in caplog.text


def test_archives_are_read_as_they_were_written():
    arrays = {
        "numbers": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.array(3),
        "empty": np.zeros((0, 3), np.float32),
    }
    for write in (np.savez, np.savez_compressed):
        buffer = archives.io.BytesIO()
        write(buffer, **arrays)
        found = archives.arrays(buffer.getvalue(), "x", list(arrays))
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype and found[key].flags.writeable
    with pytest.raises(CorruptFileError, match="x lacks the arrays other"):
        archives.arrays(hostile.npz(one=np.zeros(1)), "x", ["other"])


@pytest.mark.nightly
def test_a_resumed_run_writes_hostile_results_again(tmp_path, monkeypatch):
    original, given, run = results.report, [], tmp_path / "run"

    def keep(task, lineage, directory):
        given.extend([task, lineage])
        return original(task, lineage, directory)

    monkeypatch.setattr(results, "report", keep)
    chosen = {
        "arch": one_convolution.ARCH,
        "gens": 0,
        "epochs": 1,
        "train_examples": 80,
        "batch_size": 32,
    }
    runner.run(options.check(options.Options(**chosen, progress="none", workdir=str(run))))
    names = ("generation-0/predictions.npz", "summary.json", "test.npz", "ensemble.keras")
    hostile.replace(run, names[0], hostile.npz(**{"00000": np.log(np.full((3, 2), 0.5))}))
    hostile.replace(run, names[1], hostile.DEEP)
    hostile.replace(run, names[2], hostile.bomb("labels.npy"))
    hostile.make_pipe(run / names[3])
    with RunDirectory(run) as directory:
        original(*given, directory)
        for name in names:
            directory.read(name)
    assert report.main([str(run)]) == 0
