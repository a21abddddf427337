"""`--strategy` and `ban_tf.cli.launch`: real processes, killed and started again."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from ban_tf.cli import launch as launcher
from ban_tf.config import options
from ban_tf.distribution import cluster, slurm
from ban_tf.errors import ClusterError
from ban_tf.system.ports import free_ports
from tests.distribution import processes
from tests.distribution.processes import (
    SETTINGS,
    assert_same_run,
    ended,
    finished,
    said_until,
)
from tests.run_weights import assert_same_weights


def start(directory, *, flags=(), **environment):
    return processes.start(
        "ban_tf.main", *SETTINGS, f"--workdir={directory}", *flags, **environment
    )


def launch(directory, *flags):
    return processes.launch(*SETTINGS, f"--workdir={directory}", *flags)


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    directory = tmp_path_factory.mktemp("one") / "run"
    finished(start(directory, flags=["--strategy=one"]))
    return directory


def test_two_replicas_train_the_run_of_one_device(tmp_path):
    small = ("--train_examples=160", "--epochs=1", "--batch_size=27")
    devices = {"one": ["--strategy=one"], "two": ["--virtual_devices=2"]}
    devices["two"].append("--teacher_signal=recorded")
    started = [start(tmp_path / name, flags=[*small, *flags]) for name, flags in devices.items()]
    _, said = map(finished, started)
    assert "2 replica(s) of MirroredStrategy" in said
    # Recorded logits are float16, which confidence depends on.
    assert_same_weights(tmp_path / "one", tmp_path / "two", (0,), rtol=2e-4, atol=2e-5)
    assert_same_weights(tmp_path / "one", tmp_path / "two", (1,), rtol=0.02, atol=2e-3)


@pytest.mark.nightly
def test_a_run_that_loses_a_worker_is_stopped_and_moves_to_slurm_ends_as_one_device(
    one_device, tmp_path
):
    directory = tmp_path / "run"
    process = launch(directory)
    said = said_until(process, r"\[0\] .*epoch 1/6")
    victim = int(re.search(r"worker 1 is process (\d+)", said).group(1))
    os.kill(victim, signal.SIGKILL)
    code, rest = ended(process)
    assert code == 128 + signal.SIGKILL
    assert re.search(r"\[0\] ban-tf: .*stopped answering.*same command", rest), rest
    # A signal to the launcher reaches both workers, which save and stop together.
    process = launch(directory)
    said_until(process, r"\[0\] .*epoch \d/6")
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 128 + signal.SIGTERM, said
    assert len(re.findall(r"\[[01]\] ban-tf: interrupted; all is saved up to", said)) == 2
    # What `srun --ntasks=2` would start on one node.
    step = {
        "SLURM_JOB_ID": str(job_with_free_ports()),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURMD_NODENAME": "localhost",
    }
    workers = [start(directory, SLURM_PROCID=rank, SLURM_LOCALID=rank, **step) for rank in "01"]
    said = [finished(worker) for worker in workers]
    assert "2 replicas on 2 workers" in said[0]
    assert "generation 1/1 " in said[0], "nothing was left to train"
    assert_same_run(one_device, directory)


def job_with_free_ports():
    for job in range(1000):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for local in range(2):
                stack.enter_context(socket.create_server(("", slurm.first_port(job, 0) + local)))
            return job
    raise AssertionError("no free ports")


@pytest.mark.nightly
def test_what_blends_or_comes_from_elsewhere_is_shared_out(one_device, tmp_path):
    """Mixup, a given teacher, and a final student, which is a run within the run."""
    flags = (
        f"--teacher_from={one_device}/generation-1/model.keras",
        *("--mixup=0.2", "--objective=kd+labels", "--gens=2", "--epochs=1", "--final_student"),
    )
    finished(start(tmp_path / "one", flags=["--strategy=one", *flags]))
    for worker in processes.workers(*SETTINGS, f"--workdir={tmp_path / 'workers'}", *flags):
        finished(worker)
    for run, generation in ((".", 2), ("final_student-2", 1)):
        paths = (tmp_path / name / run for name in ("one", "workers"))
        assert_same_weights(*paths, (generation,), rtol=2e-4, atol=2e-5)


@pytest.mark.nightly
def test_callbacks_of_the_chief_end_the_training_of_all(tmp_path):
    flags = ("--callbacks=convolutions:ending",)
    finished(start(tmp_path / "one", flags=["--strategy=one", *flags]))
    finished(launch(tmp_path / "two", *flags))
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert [len(processes.rows(tmp_path / "two", generation)) for generation in (0, 1)] == [2, 1]


@pytest.mark.nightly
def test_xla_on_several_replicas_is_refused(tmp_path):
    process = start(tmp_path / "run", flags=["--virtual_devices=2", "--jit=yes"])
    code, said = ended(process)
    assert code == 2
    assert "--jit=yes compiles whole steps with XLA" in said


def test_the_launcher_tells_who_failed_first_and_not_who_saw_it_first():
    def wait(*scripts, grace=60):
        return launcher.wait([subprocess.Popen(["sh", "-c", script]) for script in scripts], grace)

    gone = f"exit {cluster.OTHER_GONE}"
    assert wait(gone, "kill -9 $$") == 128 + signal.SIGKILL
    assert wait(gone, "exit 3") == 3
    assert wait(gone, gone) == cluster.OTHER_GONE
    assert wait("exit 0", "exit 0") == 0
    assert wait("exit 3", "exec sleep 600", grace=0) == 3


def test_a_worker_is_waited_for_with_a_limit(monkeypatch, capfd):
    monkeypatch.setattr(cluster, "FIRST_MESSAGE", 0.1)
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    with pytest.raises(ClusterError, match="waited 1 s for worker 1"):
        cluster.wait_for_all(cluster.Cluster(addresses, 0), 0.6)
    assert f"worker 0 waits for worker 1 ({addresses[1]}), 0 s so far" in capfd.readouterr().err


@pytest.mark.nightly
def test_a_worker_that_never_comes_is_waited_for_with_a_limit(tmp_path):
    ports = free_ports(2)
    config = {
        "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
        "task": {"type": "worker", "index": 0},
    }
    process = start(tmp_path / "run", flags=["--worker_timeout=7"], TF_CONFIG=json.dumps(config))
    code, said = ended(process)
    assert code == 1
    assert re.search(r"worker 0 waits for worker 1 \(127.0.0.1:\d+\), 5 s so far", said), said
    assert "waited 7 s for worker 1" in said


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_a_cluster_that_cannot_be_is_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
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
        ({"virtual_devices": 1}, "--virtual_devices must be between"),
        ({"worker_timeout": 0.0}, "--worker_timeout"),
    ],
)
def test_what_cannot_train_together_is_refused(changes, message):
    with pytest.raises(options.OptionsError, match=message):
        options.check(options.Options(**changes))


def test_a_number_of_workers_that_no_machine_has_is_refused(capsys):
    assert launcher.main(["--workers=100000", "--"]) == 2
    assert "--workers" in capsys.readouterr().err


class _Ended:
    """A worker that ends between two looks at it."""

    def __init__(self):
        self.looks = 0
        self.returncode = 0

    def poll(self):
        self.looks += 1
        return None if self.looks == 1 else 0


def test_a_last_worker_that_ends_between_two_looks_is_no_error():
    assert launcher.wait([_Ended()], grace=1.0) == 0
