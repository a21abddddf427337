"""A real process whose disk takes no more."""

import resource
import subprocess
import sys

COMMAND = [
    *(sys.executable, "-m", "ban_tf.main", "--gens=0", "--epochs=1", "--arch=wrn-10-1"),
    "--workdir=run",
]


def _forbid_large_files():
    # Smaller than a checkpoint of this network, larger than all else that comes before it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def test_a_disk_that_is_full_is_named_and_the_run_goes_on_once_there_is_space(tmp_path):
    full = subprocess.run(
        COMMAND,
        cwd=tmp_path,
        preexec_fn=_forbid_large_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 1
    assert full.stderr.strip() == (
        "ban-tf: run could not be written (File too large); nothing that was saved is lost: once "
        "there is space and permission, the same command resumes the run."
    )
    assert not list((tmp_path / "run").rglob("*.partial"))
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "generation-0" / "model.keras").is_file()
