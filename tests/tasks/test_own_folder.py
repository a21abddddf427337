"""A run on a folder of classes without parts, whose test images are drawn from it."""

import shutil

import numpy as np
import one_convolution
import pytest
from PIL import Image

from ban_tf import Run
from ban_tf.config import options
from ban_tf.tasks import class_folder, runner


@pytest.mark.nightly
def test_its_own_folder_is_evaluated_on_its_test_images_alone(tmp_path):
    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 90)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 120, (8, 8)) + level
            Image.fromarray(pixels.astype("uint8")).save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    given = {"arch": one_convolution.ARCH, "gens": 1, "epochs": 1, "batch_size": 8}
    dataset = f"folder:{tmp_path / 'photos'}"
    directory = str(tmp_path / "run")
    quiet = {"progress": "none", "report": False}
    runner.run(options.check(options.Options(dataset=dataset, workdir=directory, **given, **quiet)))
    run = Run(directory)
    (tmp_path / "linked").symlink_to(tmp_path / "photos")
    shutil.copytree(tmp_path / "photos", tmp_path / "moved")
    for name in (dataset, *(f"folder:{tmp_path / name}" for name in ("linked", "moved"))):
        found = run.evaluate(name)
        for row, known in zip(found["generations"], run.summary["generations"], strict=True):
            assert row["examples"] == known["examples"] == 8
            assert row["negative_log_likelihood"] == known["negative_log_likelihood"]
    (tmp_path / "moved" / "dark" / "0.png").write_bytes(
        (tmp_path / "moved" / "dark" / "1.png").read_bytes()
    )
    others = run.evaluate(f"folder:{tmp_path / 'moved'}")
    assert {row["examples"] for row in others["generations"]} == {40}


def test_a_folder_is_a_runs_own_by_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert class_folder.is_own("folder:photos", f"folder:{tmp_path}/other/../photos")
    assert not class_folder.is_own("folder:photos", "folder:pictures")
    assert not class_folder.is_own("folder:photos", "photos")
