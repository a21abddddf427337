"""Files of a run: whole or absent, checked when read, one process at a time."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from ban_tf.errors import CorruptFileError, RunDirectoryError, SaveError
from ban_tf.runs import rundir
from ban_tf.runs.rundir import RunDirectory
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
    assert failed == (failing <= 3)
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


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="file"):
        RunDirectory(tmp_path / "file" / "run")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99, "files": {}, "facts": {}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / rundir.MANIFEST).write_text(text)
    with pytest.raises(RunDirectoryError, match="manifest"):
        RunDirectory(tmp_path)


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
