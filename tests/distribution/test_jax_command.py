"""`ban-tf launch` under JAX: real processes without TensorFlow, killed and started again."""

import os
import re
import signal
import subprocess
import sys

import jax_process
import pytest

from tests.distribution import processes
from tests.distribution.processes import (
    SETTINGS,
    assert_same_run,
    ended,
    finished,
    said_until,
)

pytestmark = [pytest.mark.nightly, jax_process.needed]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment variables of JAX, in which nothing can import TensorFlow."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "sitecustomize.py").write_text(jax_process.WITHOUT_TENSORFLOW)
    known = os.environ.get("PYTHONPATH", "")
    places = [str(folder), str(processes.HERE), *filter(None, [known])]
    return {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(places),
        "TF_CONFIG": "",
    }


def _start(environment, module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *module, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _train(environment, directory, *flags):
    return _start(environment, ["ban_tf.main"], *SETTINGS, f"--workdir={directory}", *flags)


def _launch(environment, directory, *flags):
    command = ("ban_tf", "launch", "--workers=2", "--grace=60", "--")
    return _start(environment, command, *SETTINGS, f"--workdir={directory}", *flags)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory, environment):
    directory = tmp_path_factory.mktemp("one") / "run"
    finished(_train(environment, directory))
    return directory


def test_a_run_that_loses_a_worker_and_is_stopped_ends_as_that_of_one_process(
    one_process, environment, tmp_path
):
    directory = tmp_path / "run"
    for lost in (1, 0):
        process = _launch(environment, directory)
        said = said_until(process, r"\[0\] .*epoch \d/6")
        victim = int(re.search(rf"worker {lost} is process (\d+)", said).group(1))
        os.kill(victim, signal.SIGKILL)
        code, rest = ended(process)
        assert code == 128 + signal.SIGKILL
        sentence = rf"\[{1 - lost}\] ban-tf: .*stopped answering.*same command"
        assert re.search(sentence, rest), rest
        assert "Traceback" not in rest and "stack trace" not in rest, rest
    # A signal to the launcher reaches both workers, which save and stop together.
    process = _launch(environment, directory)
    said_until(process, r"\[0\] .*epoch \d/6")
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code == 128 + signal.SIGTERM, said
    assert len(re.findall(r"\[[01]\] ban-tf: interrupted; all is saved up to", said)) == 2
    said = finished(_launch(environment, directory))
    assert "on 2 devices of JAX on 2 workers" in " ".join(said.split())
    assert "generation 1/1 " in said, "nothing was left to train"
    assert_same_run(one_process, directory)


def test_a_recorded_teacher_and_a_signal_to_one_worker(environment, tmp_path):
    """The recording is the chief's; what stops one worker within an epoch stops both."""
    flags = ("--teacher_signal=recorded", "--checkpoint_steps=2", "--objective=kd+labels")
    finished(_train(environment, tmp_path / "one", *flags))
    process = _launch(environment, tmp_path / "two", *flags)
    said = said_until(process, r"\[0\] .*generation 1/1  epoch \d/6")
    os.kill(int(re.search(r"worker 1 is process (\d+)", said).group(1)), signal.SIGTERM)
    code, said = ended(process)
    assert code == 128 + signal.SIGTERM, said
    assert len(re.findall(r"\[[01]\] ban-tf: interrupted; all is saved up to", said)) == 2
    finished(_launch(environment, tmp_path / "two", *flags))
    # Recorded logits are float16.
    assert_same_run(tmp_path / "one", tmp_path / "two", rtol=0.02, atol=2e-3)


def test_callbacks_of_the_chief_end_the_training_of_all(environment, tmp_path):
    flags = ("--callbacks=convolutions:ending",)
    finished(_train(environment, tmp_path / "one", *flags))
    finished(_launch(environment, tmp_path / "two", *flags))
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert [len(processes.rows(tmp_path / "two", generation)) for generation in (0, 1)] == [2, 1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch_size=27"], "--batch_size=27 is that of all devices, and must be a multiple"),
        (["--analyse"], "--analyse"),
    ],
)
def test_what_workers_cannot_do_is_refused_by_each_in_a_sentence(
    flags, message, environment, tmp_path
):
    process = _launch(environment, tmp_path / "run", *flags)
    code, said = ended(process)
    assert code == 2
    assert said.count(message) == 2, said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_strategy_of_several_workers_needs_a_cluster(environment, tmp_path):
    process = _train(environment, tmp_path / "run", "--strategy=multiworker")
    code, said = ended(process)
    assert code == 2
    assert "--strategy=multiworker needs a cluster of two workers or more" in said
