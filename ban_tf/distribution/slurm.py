"""Creates `TF_CONFIG` for a process of a Slurm step.

Nodes are in Slurm's order, and each process finds its index by the name of its node. Processes use
the GPUs that Slurm assigns. TensorFlow's resolver is not used: it assigns GPUs itself, sorts nodes
by name, `node10` before `node9`, and does not exist without TensorFlow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ban_tf.errors import InputError

# Steps on the same node must not use the same port; Linux assigns ports from 32768 on by itself.
_FIRST_PORT, _PORTS_OF_A_STEP, _STEPS = 10_000, 16, 1375


def first_port(job: int, step: int) -> int:
    """Returns the port of the first process of a step on each of its nodes."""
    return _FIRST_PORT + _PORTS_OF_A_STEP * ((7 * job + step) % _STEPS)


def tf_config(environment: Mapping[str, str]) -> str:
    """Returns the value of `TF_CONFIG`; all processes get the same addresses in the same order.

    Args:
        environment: Has the variables that `srun` sets for a step.

    Raises:
        InputError: Some of them are missing or inconsistent.
    """
    try:
        job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", 0))
        port = first_port(job, step)
        name, local = environment["SLURMD_NODENAME"], int(environment["SLURM_LOCALID"])
        processes = int(environment["SLURM_STEP_NUM_TASKS"])
        hosts = _hosts(environment["SLURM_STEP_NODELIST"])
        tasks = _tasks(environment["SLURM_STEP_TASKS_PER_NODE"])
        addresses = [
            f"{host}:{port + task}"
            for host, count in zip(hosts, tasks, strict=True)
            for task in range(count)
        ]
        if len(addresses) < processes:
            raise InputError(f"Requested {processes} tasks but only {len(addresses)} are placed")
        index = addresses.index(f"{name}:{port + local}")
    except (KeyError, ValueError) as error:
        raise InputError(
            "--strategy=multiworker reads the workers from Slurm's variables of a step, as srun "
            f"sets them: {error.args[0] if error.args else error} is missing or does not fit; "
            "start with srun, or set TF_CONFIG."
        ) from error
    return json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )


def _hosts(text: str) -> list[str]:
    """Returns the nodes of a list of Slurm such as "gpu1,node[08-10,12]"."""
    parts = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text)
    return [host for part in parts for host in _expanded(part)]


def _expanded(part: str) -> list[str]:
    head, bracket, further = part.partition("[")
    if not bracket:
        return [part]
    inside, _, rest = further.partition("]")
    numbers: list[str] = []
    for item in inside.split(","):
        first, dash, last = item.partition("-")
        span = range(int(first), int(last if dash else first) + 1)
        numbers += [f"{number:0{len(first)}d}" for number in span]
    return [head + number + end for number in numbers for end in _expanded(rest)]


def _tasks(text: str) -> list[int]:
    """Returns the number of processes on each node, from Slurm's form "2(x3),1"."""
    found: list[int] = []
    for part in text.split(","):
        known = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if known is None:
            raise InputError(f"SLURM_STEP_TASKS_PER_NODE={text}")
        found += [int(known[1])] * int(known[2] or 1)
    return found
