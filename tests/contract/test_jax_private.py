"""What `compat.jax_processes` and `compat.jax_service` use of JAX's private parts."""

import pytest

from ban_tf.compat import jax_processes, jax_service
from ban_tf.system.ports import free_ports
from tests import jax_process

pytestmark = jax_process.needed


def test_the_state_of_processes_has_what_joining_them_sets():
    from jax._src import distributed, xla_bridge

    for name in ("coordinator_address", "process_id", "num_processes", "client"):
        assert hasattr(distributed.global_state, name)
    assert callable(xla_bridge.backends_are_initialized)


def test_messages_go_through_the_coordination_service():
    from jax import errors

    (port,) = free_ports(1)
    library = jax_service.library()
    service = library.get_distributed_runtime_service(f"[::]:{port}", 1)
    client = library.get_distributed_runtime_client(
        f"127.0.0.1:{port}", 0, init_timeout=20, shutdown_on_destruction=False
    )
    client.connect()
    messages = jax_processes.Messages(client, 0, 1)
    assert [messages.gather(content) for content in (b"a", b"\x00\xff")] == [[b"a"], [b"\x00\xff"]]
    with pytest.raises(errors.JaxRuntimeError, match=r"^DEADLINE_EXCEEDED"):
        client.blocking_key_value_get_bytes("nobody sent it", 10)
    client.shutdown()
    service.shutdown()
