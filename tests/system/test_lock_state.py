"""Locks are seen without being taken."""

from __future__ import annotations

import fcntl
import pathlib
import subprocess
import sys

import pytest

from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import lock_state


def test_a_lock_is_seen_while_it_is_held(tmp_path):
    path = tmp_path / "lock"
    assert not lock_state.is_locked(path)
    with path.open("a") as lock:
        assert not lock_state.is_locked(path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert lock_state.is_locked(path)
        assert not lock_state.is_locked(tmp_path / "other")
        (tmp_path / "other").touch()
        assert not lock_state.is_locked(tmp_path / "other")
    assert not lock_state.is_locked(path)


def test_the_lock_of_another_process_is_seen(tmp_path):
    path = tmp_path / "lock"
    script = (
        "import fcntl, sys\n"
        f"file = open({str(path)!r}, 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    assert lock_state.is_locked(path)
    process.communicate()
    assert not lock_state.is_locked(path)


def test_a_lock_of_a_byte_range_is_seen(tmp_path):
    """As network file systems report the locks of other machines."""
    path = tmp_path / "lock"
    script = (
        "import fcntl, sys\n"
        f"file = open({str(path)!r}, 'a')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    with path.open("rb") as file:
        assert lock_state._is_locked_elsewhere(file)
    process.communicate()
    with path.open("rb") as file:
        assert not lock_state._is_locked_elsewhere(file)


def test_without_a_list_of_locks_the_lock_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_state, "_LOCKS", tmp_path / "missing")
    test_a_lock_is_seen_while_it_is_held(tmp_path)


@pytest.mark.skipif(not pathlib.Path("/proc/locks").is_file(), reason="needs Linux")
def test_a_run_can_start_at_any_moment_while_others_look_at_it(tmp_path):
    with RunDirectory(tmp_path / "run") as directory:
        directory.commit({"run.cfg": b"--gens=1\n"})
    script = (
        "import sys\n"
        "from ban_tf.cli import runs\n"
        "def refuse(event, arguments):\n"
        "    assert event not in ('fcntl.flock', 'fcntl.lockf'), event\n"
        "sys.addaudithook(refuse)\n"
        "print([run.state for run in runs.find('.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['interrupted']\n"
