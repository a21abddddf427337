"""Reads `TF_CONFIG`, waits for the other workers of the cluster, and monitors them.

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
from collections.abc import Mapping, MutableMapping
from typing import Any, NoReturn

from ban_tf.distribution import slurm
from ban_tf.errors import ClusterError, InputError

FIRST_MESSAGE = 5.0  # seconds of waiting before the first message
AGAIN = 30.0  # seconds between messages
OTHER_GONE = 75  # exit code when a peer failed (EX_TEMPFAIL)
_BEAT = 5.0  # seconds between two checks of the peers
_MISSED = 3  # failed checks after which a worker counts as gone


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of one training.

    Attributes:
        addresses: "host:port" of each; the chief is the first.
        index: The index of this process.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> dict[int, str]:
        """Addresses of all other workers, by index."""
        return {i: address for i, address in enumerate(self.addresses) if i != self.index}


def read(environment: Mapping[str, str]) -> Cluster | None:
    """Returns the cluster of TF_CONFIG; None for a single process.

    Raises:
        InputError: TF_CONFIG is invalid.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text or text == "{}":
        return None
    form = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        addresses = [(job, i, address) for job in ("chief", "worker")
                     for i, address in enumerate(jobs.get(job, []))]  # fmt: skip
        index = [entry[:2] for entry in addresses].index((task["type"], int(task["index"])))
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
    return Cluster(tuple(entry[2] for entry in addresses), index) if len(addresses) > 1 else None


def several(options: Any) -> bool:
    """Returns whether several workers train together.

    Args:
        options: An `Options`.

    Raises:
        InputError: TF_CONFIG cannot be used.
    """
    return needed_for(options.strategy)


def needed_for(strategy: str) -> bool:
    """Returns whether a value of `--strategy` is that of several workers, here and now.

    Raises:
        InputError: TF_CONFIG cannot be used.
    """
    if strategy == "auto":
        return read(os.environ) is not None or in_slurm(os.environ)
    return strategy == "multiworker"


def check(options: Any) -> None:
    """Checks that the distribution flags are consistent.

    Args:
        options: An `Options`.

    Raises:
        InputError: They are not.
    """
    if options.virtual_devices and (several(options) or options.strategy == "one"):
        raise InputError(
            f"--virtual_devices={options.virtual_devices} is for --strategy=mirrored; leave it out "
            "with one device, and with workers, which have one processor each."
        )
    if options.virtual_devices and options.batch_size < options.virtual_devices:
        raise InputError(
            f"--batch_size={options.batch_size} is that of all replicas, and must be at least "
            f"--virtual_devices={options.virtual_devices}."
        )
    if several(options) and options.seeds > 1:
        raise InputError(
            f"--seeds={options.seeds} repeats a run in one process; give workers one --seed at a "
            "time."
        )


def in_slurm(environment: Mapping[str, str]) -> bool:
    """Returns whether Slurm started this process as one of several."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    return tasks.isdigit() and int(tasks) > 1 and "SLURM_PROCID" in environment


def listening(address: str, seconds: float = 2.0) -> bool:
    """Returns whether a process accepts connections at "host:port"."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError:
        return False
    return True


def own(environment: MutableMapping[str, str]) -> Cluster:
    """Returns the cluster of this process, from `TF_CONFIG`, which is set from Slurm's variables.

    Raises:
        InputError: There is none.
    """
    if not read(environment) and in_slurm(environment):
        environment["TF_CONFIG"] = slurm.tf_config(environment)
    found = read(environment)
    if found is None:
        raise InputError(
            "--strategy=multiworker needs a cluster of two workers or more: set TF_CONFIG, start "
            "with srun, or try it out with ban-tf launch --workers=2 -- --gens=3."
        )
    return found


def listen(cluster: Cluster) -> socket.socket:
    """Listens at the address of this worker.

    Raises:
        InputError: Its port cannot be used.
    """
    port = int(cluster.addresses[cluster.index].rsplit(":", 1)[1])
    try:
        return socket.create_server(("", port), backlog=len(cluster.addresses) * 8)
    except OSError as error:
        raise InputError(
            f"Worker {cluster.index} must listen at port {port}, which is taken "
            f"({error.strerror}); choose another one in TF_CONFIG."
        ) from error


def wait_for_all(cluster: Cluster, limit: float) -> None:
    """Waits until all other workers listen; prints for which ones it waits.

    TensorFlow waits silently, and blocks all other Python threads. So workers wait for each other
    before the backend starts; each listens at its port in TF_CONFIG.

    Args:
        cluster: The workers.
        limit: Seconds.

    Raises:
        ClusterError: One did not start in time.
    """
    started, due = time.monotonic(), FIRST_MESSAGE
    missing = dict(cluster.others)
    while missing := {i: address for i, address in missing.items() if not listening(address)}:
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


class PeerMonitor:
    """Ends the process when another worker is gone, even while the backend waits.

    A worker counts as gone if three checks of its address fail, five seconds apart.

    Args:
        cluster: The workers.
    """

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def close(self) -> None:
        """Stops monitoring: from here on, other workers may end."""
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
    """Ends the process immediately, since the backend's threads cannot be stopped.

    Args:
        who: A description of the worker that is gone.
        why: The reason, if known.
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
