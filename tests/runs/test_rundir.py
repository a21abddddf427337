"""Files of a run: whole or absent, checked when read, one process at a time."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from ban_tf.errors import CorruptFileError, RunDirectoryError, SaveError
from ban_tf.runs import rundir
from ban_tf.runs.reading import RunReader
from ban_tf.runs.rundir import ReadOnlyDirectory, RunDirectory
from ban_tf.system import files


def test_what_was_committed_is_read_by_the_next_process(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"a/b.bin": b"one"}, metadata={"done": 1})
    with RunDirectory(tmp_path) as directory:
        assert directory.read("a/b.bin") == b"one"
        assert directory.metadata == {"done": 1}


@pytest.mark.parametrize("content", [b"on", b"onE", b""])
def test_a_changed_or_torn_file_is_found_out(tmp_path, content):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"file": b"one"})
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(CorruptFileError, match="file"):
            directory.read("file")


def test_a_file_that_the_manifest_does_not_name_does_not_count(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.write_untracked("stray", b"x")
        assert directory.names() == []
        with pytest.raises(CorruptFileError, match="not listed"):
            directory.read("stray")


def test_removed_files_are_deleted_and_others_stay(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"old": b"1", "kept": b"2"})
        directory.commit({"new": b"3"}, remove=["old"])
        assert directory.names() == ["kept", "new"]
        assert not (tmp_path / "old").exists()


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_write_that_fails_anywhere_damages_nothing_that_counted(tmp_path, monkeypatch, failing):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"first": b"before", "second": b"before"}, metadata={"epoch": 1})
        calls = iter(range(1, 100))

        def replace_or_fail(path, content, original=files.write_atomically):
            if next(calls) == failing:
                raise OSError(28, "No space left on device")
            original(path, content)

        monkeypatch.setattr(rundir, "write_atomically", replace_or_fail)
        try:
            directory.commit({"third": b"after", "fourth": b"after"}, metadata={"epoch": 2})
            failed = False
        except SaveError as error:
            assert "No space left" in str(error)
            failed = True
    assert failed == (failing <= 4)
    monkeypatch.undo()
    with RunDirectory(tmp_path) as directory:
        assert directory.metadata == {"epoch": 1 if failed else 2}
        for name in directory.names():
            directory.read(name)
        assert directory.read("first") == b"before"
        directory.commit({"third": b"again"})
        assert directory.read("third") == b"again"


def test_a_file_that_is_replaced_counts_even_if_that_fails(tmp_path, monkeypatch):
    """Fails at the first write, the second, ...: what is on the disk is always what counts."""
    write = files.write_atomically
    for failing in range(1, 9):
        calls = iter(range(1, 100))

        def fail(path, content, calls=calls, failing=failing):
            if next(calls) == failing:
                raise OSError(28, "No space left on device")
            write(path, content)

        with RunDirectory(tmp_path) as directory:
            directory.commit({"a": b"old", "b": b"old"})
            monkeypatch.setattr(rundir, "write_atomically", fail)
            for content in (b"newer", b"newest"):  # and again, after the first replacement failed
                with contextlib.suppress(SaveError):
                    directory.commit({"a": content, "b": content})
            monkeypatch.undo()
        with RunDirectory(tmp_path) as directory:
            assert directory.read("a") in (b"old", b"newer", b"newest")
            directory.read("b")
            directory.commit({"a": b"done", "b": b"done"})
            (tmp_path / "a").write_bytes(b"old")
            with pytest.raises(CorruptFileError):
                directory.read("a")


def test_what_is_there_already_is_not_written_again(tmp_path, monkeypatch):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"a": b"1"}, metadata={"b": 2})
        monkeypatch.setattr(rundir, "write_atomically", None)
        directory.commit({"a": b"1"}, metadata={"b": 2})
        monkeypatch.undo()
        (tmp_path / "a").write_bytes(b"x")
        directory.commit({"a": b"1"})
        assert directory.read("a") == b"1"


def test_a_second_process_is_refused_and_the_lock_dies_with_its_owner(tmp_path):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from ban_tf.runs.rundir import RunDirectory\n"
            "d = RunDirectory(sys.argv[1])\n"
            "print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout.readline().strip() == "held"
    with pytest.raises(RunDirectoryError, match="in use by another process"):
        RunDirectory(tmp_path)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    RunDirectory(tmp_path).close()


def test_files_that_are_not_a_runs_are_refused_and_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"not a run's, such as notes/thesis\.tex"):
        RunDirectory(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["notes", "thesis.tex"]
    RunDirectory(tmp_path, holds=("note*",)).close()


def test_what_a_killed_start_left_and_empty_folders_are_no_obstacle(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("lock", ".ban_tf-manifest.json.partial", "empty/.ban_tf-a.partial"):
        (tmp_path / name).write_bytes(b"{")
    with RunDirectory(tmp_path) as directory:
        directory.remove_untracked(())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "lock"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_first_write_that_fails_leaves_a_directory_that_is_still_a_runs(
    tmp_path, monkeypatch, failing
):
    calls = iter(range(1, 9))

    def fail(path, content):
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        files.write_atomically(path, content)

    with RunDirectory(tmp_path) as directory, pytest.raises(SaveError):
        monkeypatch.setattr(rundir, "write_atomically", fail)
        directory.commit({"generation-0/a": b"1", "run.cfg": b"2"})
    monkeypatch.undo()
    RunDirectory(tmp_path).close()


def test_generations_without_a_manifest_are_not_taken_for_a_new_run(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"generation-0/model.keras": b"model"})
    (tmp_path / rundir.MANIFEST).unlink()
    with pytest.raises(RunDirectoryError, match=r"generations but no manifest\.json"):
        RunDirectory(tmp_path)
    assert (tmp_path / "generation-0" / "model.keras").read_bytes() == b"model"


def test_only_our_own_temporary_files_are_deleted(tmp_path):
    kept = ("thesis.partial", "a/thesis.partial", ".ban_tf-notes", "inner/.ban_tf-x.partial")
    ours = ("a/.ban_tf-new.partial", "a/old.partial", "manifest.json.partial", "a/part-1")
    with RunDirectory(tmp_path) as directory:
        directory.commit({"a/old": b"1", "a/part-2": b"2"})
        with RunDirectory(tmp_path / "inner"):  # another run, which may be written right now
            for name in (*kept, *ours):
                (tmp_path / name).write_bytes(b"x")
            directory.remove_untracked(("a/part-",))
    assert all((tmp_path / name).exists() for name in (*kept, "a/old", "a/part-2"))
    assert not any((tmp_path / name).exists() for name in ours)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="file"):
        RunDirectory(tmp_path / "file" / "run")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99, "files": {}, "facts": {}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / rundir.MANIFEST).write_text(text)
    with pytest.raises(RunDirectoryError, match="manifest"):
        RunDirectory(tmp_path)


def _small_run(path):
    with RunDirectory(path) as directory:
        directory.commit({"a": b"1"}, metadata={"settings": {"objective": "kd", "rate": 0.1}})
        directory.commit({"b": b"2"}, metadata={"settings": {"objective": "kd", "rate": 0.2}})


def _flipped(content):
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@pytest.mark.parametrize("reader", [RunDirectory, ReadOnlyDirectory, RunReader])
def test_each_flipped_bit_of_the_manifest_is_reported_and_the_one_before_it_used(
    tmp_path, monkeypatch, reader
):
    _small_run(tmp_path)
    path, said = tmp_path / rundir.MANIFEST, []
    monkeypatch.setattr(rundir.logging, "warning", lambda text, *given: said.append(text % given))
    content = path.read_bytes()
    flips = list(_flipped(content))
    for flipped in flips if reader is RunDirectory else flips[::7]:
        path.write_bytes(flipped)
        said.clear()
        with reader(tmp_path) as directory:
            read = directory.metadata["settings"], directory.names()
        if said:
            assert read == ({"objective": "kd", "rate": 0.1}, ["a", "b"][:1])
            assert said[0].startswith(str(path)) and len(said) == 1
            assert said[0].endswith("the manifest before it, manifest.previous.json, is used.")
        else:  # another spelling of the same, such as a tab for a space
            assert json.loads(flipped) == json.loads(content)
        assert path.read_bytes() == flipped


def test_a_damaged_first_manifest_is_not_taken_for_that_of_a_new_run(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"generation-0/model.keras": b"1"})
    (tmp_path / rundir.MANIFEST).write_bytes(b"{")
    with pytest.raises(RunDirectoryError, match=r"manifest\.json is not a JSON file"):
        RunDirectory(tmp_path)


def test_a_damaged_manifest_without_one_before_it_is_refused(tmp_path):
    _small_run(tmp_path)
    path = tmp_path / rundir.MANIFEST
    content = path.read_bytes()
    (tmp_path / "manifest.previous.json").write_bytes(b"{}")
    for flipped in list(_flipped(content))[::5]:
        path.write_bytes(flipped)
        try:
            with RunDirectory(tmp_path) as directory:
                assert directory.metadata["settings"] == {"objective": "kd", "rate": 0.2}
                assert json.loads(flipped) == json.loads(content)
        except RunDirectoryError as error:
            assert str(path) in str(error)


def test_a_damaged_manifest_is_mended_with_the_next_write(tmp_path, caplog):
    _small_run(tmp_path)
    (tmp_path / rundir.MANIFEST).write_bytes(b"")
    with RunDirectory(tmp_path) as directory:
        assert directory.names() == ["a"]
        directory.commit({"c": b"3"})
    assert "manifest.previous.json, is used" in caplog.text
    with RunDirectory(tmp_path) as directory:
        assert directory.names() == ["a", "c"]
    assert caplog.text.count("is used") == 1


def test_the_manifest_before_the_last_names_what_is_new_although_others_were_removed(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"checkpoint": b"1"})
        directory.commit({"model": b"2"}, metadata={"finished": True}, remove=["checkpoint"])
    (tmp_path / rundir.MANIFEST).write_bytes(b"")
    with RunDirectory(tmp_path) as directory:
        assert directory.metadata == {"finished": True}
        assert directory.read("model") == b"2"


def test_a_manifest_of_an_earlier_version_has_no_checksum_and_is_read(tmp_path):
    _small_run(tmp_path)
    path = tmp_path / rundir.MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    with RunDirectory(tmp_path) as directory:
        assert directory.names() == ["a", "b"]
        directory.commit(metadata={1: {10: "keys", 9: "of numbers"}})
    assert "sha256" in json.loads(path.read_text())
    with RunDirectory(tmp_path) as directory:
        assert directory.metadata["1"] == {"9": "of numbers", "10": "keys"}


def _contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


WRITES = {
    "commit": lambda directory: directory.commit({"a": b"2", "new/b": b"3"}, metadata={"epoch": 2}),
    "untracked": lambda directory: directory.write_untracked("c", b"4"),
    "clean-up": lambda directory: directory.remove_untracked(("a",)),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_moved_directory_is_noticed_before_the_next_write(tmp_path, write):
    old, new = tmp_path / "old", tmp_path / "new"
    with RunDirectory(old) as directory:
        directory.commit({"a": b"1"})
        old.rename(new)
        before = _contents(new)
        with pytest.raises(SaveError, match=f"{old} was moved to {new} while"):
            WRITES[write](directory)
        assert not old.exists() and _contents(new) == before
        with pytest.raises(RunDirectoryError, match="in use by another process"):
            RunDirectory(new)
    with RunDirectory(new) as directory:
        assert directory.read("a") == b"1"


@pytest.mark.parametrize("write", WRITES)
def test_a_new_run_at_the_same_place_is_not_written(tmp_path, write):
    old, new = tmp_path / "parent" / "run", tmp_path / "moved" / "run"
    with RunDirectory(old) as directory:
        directory.commit({"a": b"1"})
        old.parent.rename(new.parent)
        with RunDirectory(old) as other:
            other.commit({"a": b"theirs"})
            other.write_untracked("ab", b"theirs")
            before = _contents(old), _contents(new)
            with pytest.raises(SaveError, match=f"{old} was moved to {new} while"):
                WRITES[write](directory)
            assert (_contents(old), _contents(new)) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_deleted_directory_is_not_made_again(tmp_path, write):
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit({"a": b"1"})
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(SaveError, match="moved, deleted or replaced"):
            WRITES[write](directory)
        assert not (tmp_path / "run").exists()


def test_a_lock_that_was_replaced_is_noticed(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"a": b"1"})
        (tmp_path / "lock").unlink()
        with RunDirectory(tmp_path) as other, pytest.raises(SaveError, match="its lock was moved"):
            directory.commit({"a": b"2"})
        assert other.read("a") == b"1"


def test_a_closed_directory_is_not_written(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"a": b"1"})
    with pytest.raises(SaveError, match="was closed"):
        directory.commit({"a": b"2"})


_AS_AN_ORDINARY_USER = (
    *("setpriv", "--bounding-set=-dac_override,-dac_read_search"),
    *("--inh-caps=-dac_override,-dac_read_search", "--"),
)


def test_a_file_that_may_not_be_read_is_not_taken_for_a_damaged_one(tmp_path):
    with RunDirectory(tmp_path) as directory:
        directory.commit({"file": b"one"})
    (tmp_path / "file").chmod(0)
    script = (
        "import sys\n"
        "from ban_tf.runs.rundir import CorruptFileError, RunDirectory, RunDirectoryError\n"
        "with RunDirectory(sys.argv[1]) as directory:\n"
        "    try:\n"
        "        directory.read('file')\n"
        "    except RunDirectoryError as error:\n"
        "        assert not isinstance(error, CorruptFileError)\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    if os.geteuid() == 0:  # who may read everything
        command = [*_AS_AN_ORDINARY_USER, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == (
        f"{tmp_path / 'file'} may not be read (Permission denied); fix its permissions, then the "
        "same command resumes the run."
    ), done.stderr
