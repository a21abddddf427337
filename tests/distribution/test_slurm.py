"""The place of a worker that Slurm started, from the variables that it sets."""

import os

import pytest
import tensorflow as tf

from ban_tf.distribution import cluster, slurm

STEP = {
    "SLURM_JOB_ID": "22007",
    "SLURM_STEP_NODELIST": "node[9-10]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NUM_TASKS": "4",
}


def place(monkeypatch, **environment):
    for name, value in {**STEP, **environment}.items():
        monkeypatch.setenv(name, value)
    return cluster.read({"TF_CONFIG": slurm.tf_config(os.environ)})


def test_every_process_finds_itself_whatever_order_nodes_have(monkeypatch):
    found = {}
    for rank, (node, local) in enumerate((n, i) for n in ("node9", "node10") for i in "01"):
        mine = place(monkeypatch, SLURM_PROCID=str(rank), SLURMD_NODENAME=node, SLURM_LOCALID=local)
        assert mine.addresses[mine.index] == f"{node}:{slurm.first_port(22007, 0) + int(local)}"
        found[mine.index] = mine.addresses
    assert sorted(found) == [0, 1, 2, 3]
    assert len(set(found.values())) == 1


def test_lists_of_nodes_and_tasks_are_read_as_slurm_writes_them(monkeypatch):
    step = {
        "SLURM_STEP_NODELIST": "gpu1,rack[1-2]node[08-10,12],login",
        "SLURM_STEP_TASKS_PER_NODE": "3,1(x8),2",
        "SLURM_STEP_NUM_TASKS": "13",
        **{"SLURM_PROCID": "5", "SLURMD_NODENAME": "rack1node10", "SLURM_LOCALID": "0"},
    }
    mine = place(monkeypatch, **step)
    names = [address.rsplit(":", 1)[0] for address in mine.addresses]
    middle = [f"rack{rack}node{node}" for rack in (1, 2) for node in ("08", "09", "10", "12")]
    assert names == ["gpu1"] * 3 + middle + ["login"] * 2
    assert names[mine.index] == "rack1node10"


def test_addresses_are_those_of_the_resolver_of_tensorflow(monkeypatch):
    step = {
        "SLURM_STEP_NODELIST": "gpu1,node[08-10,12],login",
        "SLURM_STEP_TASKS_PER_NODE": "3,1(x4),2",
        "SLURM_STEP_NUM_TASKS": "9",
        **{"SLURM_PROCID": "5", "SLURMD_NODENAME": "node10", "SLURM_LOCALID": "0"},
    }
    mine = place(monkeypatch, **step)
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=slurm.first_port(22007, 0), gpus_per_node=3, gpus_per_task=1, auto_set_gpu=False
    )
    assert sorted(resolver.cluster_spec().as_dict()["worker"]) == sorted(mine.addresses)


def test_gpus_are_as_slurm_gave_them(monkeypatch):
    """Two processes that have a GPU each, of which neither sees the other's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    place(monkeypatch, SLURM_PROCID="0", SLURMD_NODENAME="node9", SLURM_LOCALID="0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_step_that_is_not_whole_is_one_sentence(monkeypatch):
    here = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURMD_NODENAME": "node9"}
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    with pytest.raises(ValueError, match=r"SLURMD_NODENAME is missing.*srun"):
        place(monkeypatch, SLURM_PROCID="0", SLURM_LOCALID="0")
    with pytest.raises(ValueError, match=r"node7.*srun"):
        place(monkeypatch, **{**here, "SLURMD_NODENAME": "node7"})
    with pytest.raises(ValueError, match=r"Requested 4 tasks but only 3.*srun"):
        place(monkeypatch, **{**here, "SLURM_STEP_TASKS_PER_NODE": "2,1"})


def test_steps_that_share_a_node_have_ports_of_their_own():
    steps = [(job, step) for job in range(5000, 5020) for step in range(5)]
    first = [slurm.first_port(*item) for item in steps]
    assert min(first) >= 10_000
    assert max(first) + 16 <= 32_768
    for one, port in zip(steps, first, strict=True):
        for other, another in zip(steps, first, strict=True):
            assert one == other or abs(port - another) >= 16
