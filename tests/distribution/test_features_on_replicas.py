"""Projections between features are trained on replicas as on one device."""

import pytest
from processes import assert_same_run, finished, start

_RUN = (
    *("--arch=convolutions:build", "--student_arch=convolutions:narrow", "--gens=1", "--epochs=1"),
    *("--train_examples=90", "--batch_size=27", "--augment=none", "--progress=none"),
    *("--feature_weight=1", "--strategy=auto", "--noreport"),
)


@pytest.mark.nightly
def test_two_replicas_train_projections_as_one_device(tmp_path):
    runs = [
        start("ban_tf", "train", *_RUN, f"--workdir={tmp_path / name}", *further)
        for name, further in (("one", []), ("two", ["--virtual_devices=2"]))
    ]
    for run in runs:
        finished(run)
    assert_same_run(tmp_path / "one", tmp_path / "two", rtol=1e-4, atol=1e-5)
