"""`TF_CONFIG` for a process that Slurm started as one of several, by TensorFlow's own resolver.

The resolver is asked for the addresses of all processes and nothing more. It shares out GPUs by
dividing by their number, which fails where a process has none or where Slurm has shared them out
already: processes have the GPUs that Slurm gives them. And it numbers processes by the names of
their nodes in order of the alphabet, `node10` before `node9`, unlike Slurm: here each process finds
itself by the name of its own node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import tensorflow as tf

from ban_tf.errors import InputError

# Steps that share a node must not meet at one port; Linux gives out those from 32768 on by itself.
_FIRST_PORT, _PORTS_OF_A_STEP, _STEPS = 10_000, 16, 1375


def first_port(job: int, step: int) -> int:
    """Returns the port of the first process of a step on each of its nodes."""
    return _FIRST_PORT + _PORTS_OF_A_STEP * ((7 * job + step) % _STEPS)


def tf_config(environment: Mapping[str, str]) -> str:
    """Returns what `TF_CONFIG` is to be; all processes get the same addresses in the same order.

    Args:
        environment: With the variables that `srun` sets for a step. The resolver reads those that
            it needs from `os.environ`.

    Raises:
        InputError: Some of them are missing, or do not fit each other.
    """
    try:
        job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", 0))
        port = first_port(job, step)
        name, local = environment["SLURMD_NODENAME"], int(environment["SLURM_LOCALID"])
        processes = int(environment["SLURM_STEP_NUM_TASKS"])
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=processes, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
        index = addresses.index(f"{name}:{port + local}")
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            "--strategy=multiworker reads the workers from Slurm's variables of a step, as srun "
            f"sets them: {error.args[0] if error.args else error} is missing or does not fit; "
            "start with srun, or set TF_CONFIG."
        ) from error
    return json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )
