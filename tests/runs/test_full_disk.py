"""A real process whose disk takes no more."""

import sys

import pytest
import warm

ARGUMENTS = ("--gens=0", "--epochs=1", "--arch=wrn-10-1", "--train_examples=100", "--noreport")
# Smaller than a checkpoint of this network, larger than all else that comes before it.
FORBID_LARGE_FILES = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
runpy.run_module("ban_tf.main", run_name="__main__")
"""


@pytest.mark.nightly
def test_a_disk_that_is_full_is_named_and_the_run_resumes_once_there_is_space(tmp_path):
    arguments = [*ARGUMENTS, "--workdir=run"]
    full = warm.run([sys.executable, "-c", FORBID_LARGE_FILES, *arguments], cwd=tmp_path)
    assert full.returncode == 1
    assert full.stderr.strip() == (
        "ban-tf: run could not be written (File too large); nothing that was saved is lost: once "
        "there is space and permission, the same command resumes the run."
    )
    assert not list((tmp_path / "run").rglob("*.partial"))
    done = warm.run([sys.executable, "-m", "ban_tf.main", *arguments], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "generation-0" / "model.keras").is_file()
