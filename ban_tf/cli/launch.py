"""`ban-tf launch --workers=2 -- --gens=3 ...`: several workers on this machine.

For trying out multi-worker training, and for machines whose devices work better in separate
processes. Each worker is `python -m ban_tf.main` with the flags after `--` and a `TF_CONFIG`; its
output is printed line by line, prefixed by its number. Signals are forwarded. When one worker
fails, the others get some time to stop by themselves and are then terminated; the exit code is
that of the first worker that failed by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from absl import flags

from ban_tf.cli import common as command
from ban_tf.distribution import cluster
from ban_tf.errors import InputError
from ban_tf.system import signals
from ban_tf.system.ports import free_ports

_MOST = 64  # workers, or as many as there are processors; a larger number is a mistake
NAME = "ban-tf launch"
USAGE = """ban-tf launch --workers=2 -- FLAGS OF ban-tf train

Trains with several processes of this machine, which share each batch. The exit code is that of the
first that failed."""


def start(count: int, arguments: Sequence[str]) -> list[subprocess.Popen]:
    """Starts the workers of a cluster on this machine, with their output in pipes."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "ban_tf.main", *arguments],
                env={**os.environ, "TF_CONFIG": config, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process, which forwards it
            )
        )
    return workers


def run(count: int, arguments: Sequence[str], grace: float) -> int:
    """Runs workers until all have ended.

    Args:
        count: The number of workers.
        arguments: Flags of `ban_tf.main`.
        grace: Seconds that the others have to stop by themselves after one has failed.

    Returns:
        The exit code: 0, or that of the first worker that failed by itself.
    """
    workers = start(count, arguments)
    for index, worker in enumerate(workers):
        print(f"ban-tf launch: worker {index} is process {worker.pid}.", flush=True)

    def forward(number: int, frame: object) -> None:
        _signal(workers, number)

    before = {sent: signal.signal(sent, forward) for sent in signals.handled()}
    readers = [
        threading.Thread(target=_show, args=(index, worker.stdout))
        for index, worker in enumerate(workers)
    ]
    for reader in readers:
        reader.start()
    try:
        return wait(workers, grace)
    finally:
        _kill(workers)
        for reader in readers:
            reader.join()
        for sent, handler in before.items():
            signal.signal(sent, handler)


def _show(index: int, output: IO[bytes]) -> None:
    for line in output:
        print(f"[{index}] {line.decode(errors='replace').rstrip()}", flush=True)


def wait(workers: list[subprocess.Popen], grace: float) -> int:
    """Waits for workers; if one fails, terminates the others after `grace` seconds.

    Args:
        workers: The workers of a cluster.
        grace: Seconds.

    Returns:
        The exit code: 0, or that of the first worker that failed by itself.
    """
    failed: dict[int, int] = {}
    deadline = float("inf")
    while any(worker.poll() is None for worker in workers):
        for index, worker in enumerate(workers):
            if worker.poll() and index not in failed:
                failed[index] = _code(worker)
                if len(failed) > 1:
                    continue
                deadline = time.monotonic() + grace
                print(
                    f"ban-tf launch: worker {index} ended with code {failed[index]}; the "
                    f"others have {grace:.0f} s to end.",
                    file=sys.stderr,
                    flush=True,
                )
        if time.monotonic() > deadline:
            _kill(workers)
        running = [worker for worker in workers if worker.poll() is None]
        with contextlib.suppress(subprocess.TimeoutExpired):
            for worker in running[:1]:  # none, if the last one has ended meanwhile
                worker.wait(0.2)
    failed |= {
        i: _code(worker) for i, worker in enumerate(workers) if i not in failed and worker.poll()
    }
    # A worker that stopped because of a failed peer may be noticed before that peer.
    causes = [code for code in failed.values() if code != cluster.OTHER_GONE]
    return next(iter(causes or failed.values()), 0)


def _code(worker: subprocess.Popen) -> int:
    """Returns the exit code as shells count it: 128 + n for a process ended by signal n."""
    return worker.returncode if worker.returncode > 0 else 128 - worker.returncode


def _signal(workers: list[subprocess.Popen], number: int) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def _kill(workers: list[subprocess.Popen]) -> None:
    for worker in workers:
        worker.kill()  # which does nothing to one that has ended


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "workers",
        2,
        "How many workers.",
        lower_bound=1,
        upper_bound=max(_MOST, os.cpu_count() or 1),
        flag_values=values,
    )
    flags.DEFINE_float(
        "grace",
        90.0,
        "Seconds that the others have to stop by themselves after one has failed.",
        lower_bound=0.0,
        flag_values=values,
    )


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    arguments = list(arguments)
    if "--" not in arguments and not command.HELP & set(arguments):
        missing = "the flags of `ban-tf train` follow --: ban-tf launch --workers=2 -- --gens=3."
        command.print_error(NAME, missing)
        return 2
    split = arguments.index("--") if "--" in arguments else len(arguments)
    own, theirs = arguments[:split], arguments[split + 1 :]
    code = 0

    def work(values: flags.FlagValues, rest: list[str]) -> None:
        nonlocal code
        if rest:
            raise InputError(f"{rest[0]!r} is not a flag; the flags of `ban-tf train` follow --.")
        code = run(values.workers, theirs, values.grace)

    return command.run(NAME, USAGE, own, work, _define) or code
