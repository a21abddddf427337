"""Creates `TF_CONFIG` for a process of a Slurm step, with TensorFlow's resolver.

The resolver is only used for the addresses of all processes. Its assignment of GPUs fails if a
process has none or if Slurm has assigned them already: processes use the GPUs that Slurm assigns.
And it sorts nodes by name, `node10` before `node9`, unlike Slurm: here each process finds its index
by the name of its node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import tensorflow as tf

from ban_tf.errors import InputError

# Steps on the same node must not use the same port; Linux assigns ports from 32768 on by itself.
_FIRST_PORT, _PORTS_OF_A_STEP, _STEPS = 10_000, 16, 1375


def first_port(job: int, step: int) -> int:
    """Returns the port of the first process of a step on each of its nodes."""
    return _FIRST_PORT + _PORTS_OF_A_STEP * ((7 * job + step) % _STEPS)


def tf_config(environment: Mapping[str, str]) -> str:
    """Returns the value of `TF_CONFIG`; all processes get the same addresses in the same order.

    Args:
        environment: Has the variables that `srun` sets for a step. The resolver itself reads
            `os.environ`.

    Raises:
        InputError: Some of them are missing or inconsistent.
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
