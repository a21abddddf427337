"""Tables on several replicas: real processes that read a table's rows between them."""

import pytest

from tests.distribution import processes
from tests.distribution.processes import finished

SETTINGS = (
    *("--dataset=table:diabetes", "--arch=mlp-1-8", "--batch_size=32", "--dropout=0"),
    *("--gens=1", "--epochs=2", "--learning_rate=0.01", "--progress=lines", "--noreport"),
)


@pytest.mark.nightly
def test_two_replicas_train_the_run_of_one_device(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    finished(processes.start("ban_tf.main", *SETTINGS, "--strategy=one", f"--workdir={one}"))
    said = finished(
        processes.start("ban_tf.main", *SETTINGS, "--virtual_devices=2", f"--workdir={two}")
    )
    assert "2 replica(s) of MirroredStrategy" in said
    processes.assert_same_run(one, two, rtol=1e-3, atol=1e-4)
