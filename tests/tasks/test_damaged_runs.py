"""Runs that are trained again after one of their files was damaged."""

import one_convolution
import pytest

from ban_tf.config import options
from ban_tf.tasks import runner


def _train(workdir, gens):
    given = {"arch": one_convolution.ARCH, "train_examples": 100, "epochs": 1, "gens": gens}
    checked = options.check(options.Options(workdir=str(workdir), progress="none", **given))
    return runner.run(checked)


@pytest.mark.parametrize("name", ["data.json", "generation-0/history.csv"])
def test_a_run_is_extended_although_a_file_that_no_training_needs_is_damaged(
    name, tmp_path, caplog
):
    _train(tmp_path, gens=0)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:9])
    (tmp_path / "report.html").unlink()
    result = _train(tmp_path, gens=1)
    assert [row["generation"] for row in result["generations"]] == [0, 1]
    assert "Generation 1" in (tmp_path / "report.html").read_text(encoding="utf-8")
    if name == "data.json":
        assert (tmp_path / name).read_bytes() == content
    else:
        assert "history.csv has 9 bytes" in caplog.text and "Continuing without it" in caplog.text
