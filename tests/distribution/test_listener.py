"""A worker's port that stays open, and what other workers read there."""

import socket

import pytest

from ban_tf.distribution import cluster, listener
from ban_tf.errors import ClusterError
from ban_tf.system.ports import free_ports


def test_every_look_at_a_port_succeeds_and_reads_the_same_text():
    server = socket.create_server(("127.0.0.1", 0), backlog=1)
    address = f"127.0.0.1:{server.getsockname()[1]}"
    listener.Listener(server, "8476")
    # Far more than wait for acceptance at a time; some leave without reading.
    for _ in range(50):
        assert cluster.listening(address)
        assert listener.ask(address) == "8476"


def test_a_worker_that_does_not_answer_is_one_sentence():
    (port,) = free_ports(1)
    with pytest.raises(ClusterError, match=rf"the worker at 127.0.0.1:{port} does not answer"):
        listener.ask(f"127.0.0.1:{port}")
