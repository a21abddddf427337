"""`--strategy` and `ban_tf.launch`: real processes, killed and started again."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from ban_tf import cluster, options, strategies
from ban_tf import launch as launcher
from ban_tf.launch import free_ports

HERE = pathlib.Path(__file__).parent
EPOCHS = 6
SETTINGS = (
    *("--arch=small:build", "--train_examples=640", "--gens=1", f"--epochs={EPOCHS}"),
    *("--objective=cwtm", "--learning_rate=0.02", "--progress=lines", "--augment=yes"),
)


def start(directory, *arguments, module="ban_tf.main", flags=(), **environment):
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, *SETTINGS, f"--workdir={directory}", *flags],
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def launch(directory, *flags):
    return start(directory, "--workers=2", "--grace=60", "--", module="ban_tf.launch", flags=flags)


def finished(process):
    said, _ = process.communicate()
    assert process.returncode == 0, said[-3000:]
    return said


def said_until(process, pattern):
    """Reads what a process says up to a line that has the pattern."""
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern} was never said: {said[-3000:]}")


def weights(directory, generation):
    return keras.models.load_model(directory / f"generation-{generation}/model.keras").get_weights()


def rows(directory, generation):
    return np.genfromtxt(directory / f"generation-{generation}/history.csv", delimiter=",")[1:]


def assert_same_run(one, other):
    for generation in (0, 1):
        for ours, theirs in zip(weights(one, generation), weights(other, generation), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(rows(one, generation), rows(other, generation), rtol=1e-3)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    directory = tmp_path_factory.mktemp("one") / "run"
    finished(start(directory, flags=["--strategy=one"]))
    return directory


def test_two_replicas_train_the_run_of_one_device(one_device, tmp_path):
    said = finished(
        start(tmp_path / "run", flags=["--virtual_devices=2", "--teacher_signal=recorded"])
    )
    assert "2 replica(s) of MirroredStrategy" in said
    # Recorded logits are float16, to which confidence is not blind.
    for ours, theirs in zip(weights(one_device, 0), weights(tmp_path / "run", 0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
    for ours, theirs in zip(weights(one_device, 1), weights(tmp_path / "run", 1), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=2e-3)


def test_a_killed_worker_stops_the_other_and_a_restart_ends_as_one_device(one_device, tmp_path):
    directory = tmp_path / "run"
    process = launch(directory)
    said = said_until(process, r"\[0\] .*epoch 1/6")
    victim = int(re.search(r"worker 1 is process (\d+)", said).group(1))
    os.kill(victim, signal.SIGKILL)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGKILL
    assert re.search(r"\[0\] ban-tf: .*stopped answering.*same command", rest), rest
    finished(launch(directory))
    assert_same_run(one_device, directory)


def test_signals_reach_all_workers_which_save_and_stop_together(one_device, tmp_path):
    process = launch(tmp_path / "run")
    said_until(process, r"\[0\] .*epoch 1/6")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert len(re.findall(r"\[[01]\] ban-tf: interrupted; all is saved up to", said)) == 2
    finished(launch(tmp_path / "run"))
    assert_same_run(one_device, tmp_path / "run")


def test_the_launcher_tells_who_failed_first_and_not_who_saw_it_first():
    def wait(*scripts, grace=60):
        return launcher.wait([subprocess.Popen(["sh", "-c", each]) for each in scripts], grace)

    gone = f"exit {cluster.OTHER_GONE}"
    assert wait(gone, "kill -9 $$") == 128 + signal.SIGKILL
    assert wait(gone, "exit 3") == 3
    assert wait(gone, gone) == cluster.OTHER_GONE
    assert wait("exit 0", "exit 0") == 0
    assert wait("exit 3", "exec sleep 600", grace=0) == 3


def test_a_worker_that_never_comes_is_waited_for_with_a_limit(tmp_path):
    ports = free_ports(2)
    config = {
        "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
        "task": {"type": "worker", "index": 0},
    }
    process = start(tmp_path / "run", flags=["--worker_timeout=7"], TF_CONFIG=json.dumps(config))
    said, _ = process.communicate()
    assert process.returncode == 1
    assert re.search(r"worker 0 waits for worker 1 \(127.0.0.1:\d+\), 5 s so far", said), said
    assert "waited 7 s for worker 1" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "must have the form"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "'task'"),
        ('{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}', "form"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "form"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            "only chief and worker",
        ),
    ],
)
def test_a_cluster_that_cannot_be_is_one_sentence(text, told):
    with pytest.raises(ValueError, match=told):
        cluster.read({"TF_CONFIG": text})


def test_a_cluster_is_read_with_the_chief_first():
    jobs = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    text = json.dumps({"cluster": jobs, "task": {"type": "worker", "index": 1}})
    assert cluster.read({"TF_CONFIG": text}) == cluster.Cluster(("a:1", "b:2", "c:3"), 2)
    assert cluster.read({}) is None
    assert cluster.read({"TF_CONFIG": "{}"}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "one", "virtual_devices": 2}, "--virtual_devices=2"),
        ({"strategy": "multiworker", "virtual_devices": 2}, "--virtual_devices=2"),
        ({"strategy": "multiworker", "seeds": 2}, "--seeds=2"),
        (
            {"dataset": "text", "arch": "lstm", "strategy": "mirrored", "schedule": "plateau"},
            "text",
        ),
        ({"virtual_devices": 1}, "--virtual_devices must be between"),
        ({"worker_timeout": 0.0}, "--worker_timeout"),
    ],
)
def test_what_cannot_train_together_is_refused(changes, message):
    with pytest.raises(options.OptionsError, match=message):
        options.check(options.Options(**changes))


@pytest.mark.parametrize(
    ("changes", "where", "told"),
    [
        ({"jit": "yes"}, "2 replicas", "--jit=yes cannot be had on 2 replicas"),
        ({"analyse": True}, "2 replicas", "--analyse=True"),
        ({"profile": True}, "2 replicas", "--profile=True"),
        ({"mixup": 0.2}, "2 workers", "--mixup=0.2 cannot be had on 2 workers"),
        ({"teacher_from": "teacher.keras"}, "2 workers", "--teacher_from=teacher.keras"),
        ({"final_student": True}, "2 workers", "--final_student=True"),
    ],
)
def test_what_was_not_tried_on_several_is_refused(changes, where, told):
    refused = strategies.IN_ONE_PROCESS if "workers" in where else strategies.ON_ONE_DEVICE
    with pytest.raises(ValueError, match=told):
        strategies.check(options.Options(**changes), where, refused)
    strategies.check(options.Options(), where, refused)
