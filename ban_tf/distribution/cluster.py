"""The place of this process in a cluster, and whether the others are there.

`TF_CONFIG` describes a cluster as TensorFlow defines it:
`{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}`. Nothing
here needs TensorFlow, so that mistakes are found before it is imported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from ban_tf.errors import ClusterError, InputError

FIRST_WORD = 5.0  # seconds before a wait is worth a message
AGAIN = 30.0  # seconds between messages
OTHER_GONE = 75  # exit code of a worker that only another one keeps from going on; EX_TEMPFAIL
_BEAT = 5.0  # seconds between two looks at the others
_MISSED = 3  # looks that a worker may be absent from


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        addresses: "host:port" of each; the chief is the first.
        index: Which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> dict[int, str]:
        """Addresses of all but this one, by number."""
        return {i: each for i, each in enumerate(self.addresses) if i != self.index}


def read(environment: Mapping[str, str]) -> Cluster | None:
    """Returns the cluster that TF_CONFIG describes; None if it describes none.

    Raises:
        InputError: TF_CONFIG cannot be used.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text or text == "{}":
        return None
    form = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        addresses = [(job, i, each) for job in ("chief", "worker")
                     for i, each in enumerate(jobs.get(job, []))]  # fmt: skip
        place = [each[:2] for each in addresses].index((task["type"], int(task["index"])))
        for _, _, address in addresses:
            host, port = address.rsplit(":", 1)
            if not host or not 0 < int(port) < 65536:
                raise InputError(address)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"TF_CONFIG must have the form {form}, with this process among the workers; "
            f"it is {text} ({error!r})."
        ) from error
    if set(jobs) - {"chief", "worker"}:
        raise InputError(
            f"TF_CONFIG has jobs {', '.join(sorted(jobs))}; only chief and worker train here."
        )
    return Cluster(tuple(each[2] for each in addresses), place) if len(addresses) > 1 else None


def several(options: Any) -> bool:
    """Returns whether several workers train together.

    Args:
        options: An `Options`.

    Raises:
        InputError: TF_CONFIG cannot be used.
    """
    if options.strategy == "auto":
        return read(os.environ) is not None or in_slurm(os.environ)
    return options.strategy == "multiworker"


def check(options: Any) -> None:
    """Makes sure that what is to train together can.

    Args:
        options: An `Options`.

    Raises:
        InputError: It cannot.
    """
    if options.virtual_devices and (several(options) or options.strategy == "one"):
        raise InputError(
            f"--virtual_devices={options.virtual_devices} is for --strategy=mirrored; leave it out "
            "with one device, and with workers, which have one processor each."
        )
    if several(options) and options.seeds > 1:
        raise InputError(
            f"--seeds={options.seeds} repeats a run in one process; give workers one --seed each "
            "time."
        )


def in_slurm(environment: Mapping[str, str]) -> bool:
    """Tells whether Slurm started this process as one of several."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    return tasks.isdigit() and int(tasks) > 1 and "SLURM_PROCID" in environment


def listening(address: str, seconds: float = 2.0) -> bool:
    """Tells whether a process accepts connections at "host:port"."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError:
        return False
    return True


def wait_for_all(cluster: Cluster, limit: float) -> None:
    """Returns when all workers are there; says for whom it waits.

    TensorFlow waits in silence, and lets no other thread of Python run meanwhile. So workers meet
    before it starts, each listening where TensorFlow is going to.

    Args:
        cluster: The workers.
        limit: Seconds.

    Raises:
        ClusterError: One did not come in time.
        InputError: This worker's own address cannot be listened at.
    """
    port = int(cluster.addresses[cluster.index].rsplit(":", 1)[1])
    try:
        here = socket.create_server(("", port), backlog=len(cluster.addresses) * 8)
    except OSError as error:
        raise InputError(
            f"Worker {cluster.index} is to listen at port {port}, which is taken "
            f"({error.strerror}); choose another one in TF_CONFIG."
        ) from error
    with here:
        started, due = time.monotonic(), FIRST_WORD
        missing = dict(cluster.others)
        while missing := {i: each for i, each in missing.items() if not listening(each)}:
            waited = time.monotonic() - started
            if waited >= limit:
                raise ClusterError(
                    f"waited {limit:.0f} s for {_named(missing)}; start all workers within "
                    "--worker_timeout."
                )
            if waited >= due:
                due += AGAIN
                print(
                    f"ban-tf: worker {cluster.index} waits for {_named(missing)}, {waited:.0f} s "
                    f"so far, at most {limit:.0f} s (--worker_timeout).",
                    file=sys.stderr,
                    flush=True,
                )
            time.sleep(0.2)


class Watch:
    """Ends the process when another worker is gone, whatever TensorFlow waits for.

    A worker counts as gone when nothing has listened at its address three times, five seconds
    apart.

    Args:
        cluster: The workers.
    """

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def close(self) -> None:
        """Stops watching: from here on, others may leave."""
        self._over.set()

    def _look(self) -> None:
        missed = dict.fromkeys(self._cluster.others, 0)
        while not self._over.wait(_BEAT):
            for index, address in self._cluster.others.items():
                missed[index] = 0 if listening(address) else missed[index] + 1
            gone = {i: self._cluster.others[i] for i, count in missed.items() if count >= _MISSED}
            if gone and not self._over.is_set():
                stop_without(_named(gone))


def stop_without(who: str, why: str = "") -> NoReturn:
    """Ends the process at once, since TensorFlow's threads cannot be asked to; another is gone.

    Args:
        who: Who is gone, in words.
        why: How that was noticed, if there is more to say.
    """
    print(
        f"ban-tf: {who} stopped answering; all is saved up to the last finished epoch: start all "
        f"workers again with the same command.{why and f' ({why})'}",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(OTHER_GONE)


def _named(workers: Mapping[int, str]) -> str:
    return ", ".join(f"worker {index} ({address})" for index, address in workers.items())
