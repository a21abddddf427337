"""Disks that fail at each write in turn, and files that are torn, flipped or gone."""

import contextlib
import errno
import json
import os
import shutil

import keras
import numpy as np
import one_convolution
import pytest

from ban_tf.config import options
from ban_tf.errors import CorruptFileError, RunDirectoryError, SaveError
from ban_tf.runs import rundir
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import files
from ban_tf.system.csv_tables import from_csv
from ban_tf.tasks import results, runner
from tests.soak import kill_and_resume
from tests.tiny_lineage import assert_equal, interrupted_twice, run_once


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed, and its lineage."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, run_once(folder)


@pytest.fixture(scope="module")
def undisturbed(finished):
    return finished[1]


class FailingDisk:
    """Fails each write point once: as the file is begun, forced to the disk, or renamed.

    A write point is a file's name, with the rows of a table, or with the files and facts that a
    manifest names.
    """

    def __init__(self, monkeypatch):
        self.failed = {}
        self._write, self._fsync = files.write_atomically, os.fsync
        self._rename = rundir.pathlib.Path.replace
        monkeypatch.setattr(rundir, "write_atomically", self.write)

    def write(self, path, content):
        point = str(path)
        if path.suffix == ".csv":
            point += f": {len(content.splitlines())} rows"
        if path.name == rundir.MANIFEST:
            manifest = json.loads(content)
            names = [(name, "former" in entry) for name, entry in manifest["files"].items()]
            point = json.dumps([names, manifest["facts"]])
        if point in self.failed:
            return self._write(path, content)
        kind = ("begin", "fsync", "rename")[len(self.failed) % 3]
        self.failed[point] = kind
        with pytest.MonkeyPatch.context() as patch:
            if kind == "begin":
                self.fail()
            home, name = (os, "fsync") if kind == "fsync" else (rundir.pathlib.Path, "replace")
            patch.setattr(home, name, self.fail)
            self._write(path, content)
        raise AssertionError("nothing failed")

    def fail(self, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.nightly
def test_a_disk_that_fails_at_each_write_in_turn_loses_nothing(tmp_path, undisturbed, monkeypatch):
    disk, starts = FailingDisk(monkeypatch), 0
    while True:
        starts += 1
        try:
            lineage = run_once(tmp_path)
            break
        except SaveError as error:
            assert "No space left on device" in str(error)
            assert len(disk.failed) == starts
            with RunDirectory(tmp_path) as directory:
                for name in directory.names():
                    directory.read(name)
    assert len(disk.failed) == starts - 1 > 20
    assert_equal(lineage, undisturbed)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.nightly
def test_reports_are_complete_after_a_disk_that_fails_at_each_of_their_writes(
    tmp_path, monkeypatch
):
    trained, report = tmp_path / "trained", results.report
    run_options = options.check(
        options.Options(
            arch=one_convolution.ARCH,
            gens=0,
            epochs=1,
            train_examples=80,
            batch_size=32,
            progress="none",
            workdir=str(tmp_path / "run"),
        )
    )
    given = []

    def keep(task, family, directory):
        given.extend([task, family])
        shutil.copytree(directory.path, trained)
        return report(task, family, directory)

    monkeypatch.setattr(results, "report", keep)
    runner.run(run_options)
    disk, starts = FailingDisk(monkeypatch), 0
    while True:
        starts += 1
        with contextlib.suppress(SaveError), RunDirectory(trained) as directory:
            report(*given, directory)
            break
    assert len(disk.failed) == starts - 1 > 10
    ours, theirs = (kill_and_resume.contents(path) for path in (trained, tmp_path / "run"))
    kill_and_resume.compare(ours, theirs)


class Move(keras.callbacks.Callback):
    """Moves the run's directory in its second epoch."""

    def __init__(self, old, new):
        super().__init__()
        self.old, self.new = old, new

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and not self.new.exists():
            self.old.rename(self.new)


@pytest.mark.nightly
def test_a_run_whose_directory_is_moved_stops_and_is_resumed_there(tmp_path, undisturbed):
    old, new = tmp_path / "old", tmp_path / "new"
    with pytest.raises(SaveError, match=f"{old} was moved to {new}"):
        run_once(old, callbacks=[Move(old, new)])
    assert not old.exists()
    assert_equal(run_once(new), undisturbed)


DAMAGES = {
    "cut off": lambda content: content[:-20],
    "emptied": lambda content: b"",
    "flipped": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was interrupted within an epoch, and at the end of one."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    interrupted_twice(folder)
    return folder


@pytest.mark.nightly
@pytest.mark.parametrize(("damage", "count"), [*((name, 1) for name in DAMAGES), ("emptied", 2)])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
    tmp_path, interrupted, undisturbed, caplog, damage, count
):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    both = sorted((tmp_path / "generation-0").glob("checkpoint-*"), reverse=True)
    assert len(both) == 2
    for path in both[:count]:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert_equal(run_once(tmp_path), undisturbed)
    assert all(path.name in caplog.text for path in both[:count])


@pytest.mark.nightly
def test_a_manifest_that_is_damaged_anywhere_is_refused_or_does_no_harm(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / rundir.MANIFEST
    content = path.read_bytes()
    for place in range(0, len(content), 5):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for damaged in (flipped, content[:place]):
            path.write_bytes(damaged)
            try:
                with RunDirectory(tmp_path) as directory:
                    for name in directory.names():
                        directory.read(name)
            except (RunDirectoryError, CorruptFileError) as error:
                assert str(tmp_path) in str(error)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path):
    for name in ("../else", "/etc/passwd", "a/../../else"):
        manifest = {"format": 1, "files": {name: {"size": 1, "sha256": ""}}, "facts": {}}
        (tmp_path / rundir.MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(RunDirectoryError, match="invalid entry"):
            RunDirectory(tmp_path)


def test_a_finished_generation_outlives_its_tables_and_says_what_is_left_without_its_model(
    tmp_path, finished, undisturbed, caplog
):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    for name in ("history.csv", "timings.csv"):
        path = tmp_path / "generation-0" / name
        path.write_bytes(path.read_bytes()[:-3])
    lineage = run_once(tmp_path)
    assert lineage.generations[0].history == []
    assert "history.csv" in caplog.text and "Continuing without it" in caplog.text
    for ours, theirs in zip(lineage.generations, undisturbed.generations, strict=True):
        for left, right in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(left, right)
    path = tmp_path / "generation-0" / "model.keras"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(RunDirectoryError, match=r"model\.keras.*from a backup"):
        run_once(tmp_path)


@pytest.mark.parametrize("text", ["a,b\n1\n", "a,b\n1,2,3\n", "a\nx\n"])
def test_a_table_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        from_csv(text.encode())
