"""A run does not need what only Unix or Linux have: Windows has none of it, macOS no /proc."""

import shutil
import subprocess
import sys

import one_convolution
import pytest

# Other packages know their systems by themselves, so that what they need is imported before.
_SCRIPT = """
import os, pathlib, signal, sys

import absl.app, filelock, keras, matplotlib.figure, psutil, rich.console, scipy.stats
import sklearn.datasets, sklearn.metrics, tensorboard.compat, tensorflow

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for home, names in {
    os: ("sysconf", "O_DIRECTORY", "fork", "getuid", "geteuid", "getloadavg", "major", "minor",
         "sched_getaffinity"),
    signal: ("SIGKILL", "SIGHUP", "SIGALRM", "setitimer", "pthread_sigmask"),
}.items():
    for name in names:
        delattr(home, name)


def hides_proc(function):
    def call(path, *arguments, **options):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(path, *arguments, **options)

    return call


def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(arguments[0]))


os.stat, os.readlink = hides_proc(os.stat), hides_proc(os.readlink)
if hasattr(pathlib, "_NormalAccessor"):  # Python 3.10 has taken these before
    pathlib._NormalAccessor.stat = staticmethod(os.stat)
    pathlib._NormalAccessor.readlink = staticmethod(os.readlink)
sys.addaudithook(refuse)

import importlib, pkgutil

import ban_tf

for module in pkgutil.walk_packages(ban_tf.__path__, "ban_tf."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from ban_tf.cli import verbs
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import RunDirectory

with RunDirectory("run") as held:
    held.commit({"run.cfg": b"--gens=1\\n"})
    try:
        RunDirectory("run")
    except RunDirectoryError as error:
        assert "in use" in str(error), error
    else:
        raise AssertionError("the lock holds nobody back")
    assert verbs.main(["runs", "."]) == 0


def train(generations):
    try:
        verbs.main(
            ["train", f"--gens={generations}", "--epochs=1", "--arch=one_convolution:network",
             "--workdir=new", "--train_examples=100", "--progress=lines"]
        )
    except SystemExit as end:
        assert not end.code, end.code


train(0)
print("resumed", flush=True)
train(1)
assert verbs.main(["runs", "."]) == 0
"""


@pytest.mark.nightly
def test_a_run_and_its_resumption_need_nothing_of_unix(tmp_path):
    shutil.copy(one_convolution.__file__, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    held, _, rest = done.stdout.partition("digits")
    assert "running" in held
    first, _, second = rest.partition("resumed\n")
    assert "generation 0/0  epoch 1/1" in first
    assert "generation 0/1  epoch" not in second
    assert "generation 1/1  epoch 1/1" in second
    assert "finished" in second.rpartition("generation 1/1")[2]
    assert (tmp_path / "new" / "report.html").is_file()
