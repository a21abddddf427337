"""Which precision `auto` picks, by what the hardware says or by measurement."""

import keras
import numpy as np
import one_convolution
import pytest

from ban_tf.config import options
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import hardware
from ban_tf.tasks import lineage_options, runner
from ban_tf.training import precision


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([(8, 0)], "mixed_bfloat16"),
        ([(9, 0), (8, 6)], "mixed_bfloat16"),
        ([(7, 5)], "float32"),
        ([(9, 0), (7, 0)], "float32"),
        ([None], "float32"),
    ],
)
def test_graphics_processors_need_tensor_cores_for_it(capabilities, policy):
    assert precision.from_compute_capability(capabilities).policy == policy


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ({"avx2", "avx512_bf16", "amx_bf16"}, "mixed_bfloat16"),
        ({"avx2"}, "float32"),
        ({"avx512f", "avx512_bf16"}, None),  # possible, but is it faster? Measured then.
        ({"asimd", "bf16"}, None),
        (set(), None),
    ],
)
def test_processors_are_known_by_their_instructions(flags, policy):
    choice = precision.from_processor(flags)
    assert choice is None if policy is None else choice.policy == policy


def test_a_measured_advantage_must_be_worth_it():
    assert precision.from_ratio(0.5).policy == "mixed_bfloat16"
    assert precision.from_ratio(0.95).policy == "float32"
    assert "0.95" in precision.from_ratio(0.95).reason


def test_flags_are_read_as_the_kernel_writes_them(tmp_path):
    (tmp_path / "x86").write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert hardware.processor_flags(str(tmp_path / "x86")) == {"fpu", "avx2", "amx_bf16"}
    assert hardware.processor_flags(str(tmp_path / "arm")) == {"fp", "asimd", "bf16"}
    assert hardware.processor_flags(str(tmp_path / "absent")) == set()


def test_the_calibration_gives_a_ratio_and_the_choice_follows_this_machine():
    ratio = precision.calibrate()
    assert np.isfinite(ratio) and ratio > 0
    assert precision.choose().policy in ("float32", "mixed_bfloat16")


def test_what_auto_chose_for_a_run_stays(tmp_path, monkeypatch, capsys):
    with RunDirectory(tmp_path) as directory:
        chosen = precision.for_run("auto", directory)
        assert f"--precision=auto means {chosen}: " in capsys.readouterr().out
        other = "float32" if chosen == "mixed_bfloat16" else "mixed_bfloat16"
        monkeypatch.setattr(precision, "choose", lambda: precision.Choice(other, "moved"))
        assert precision.for_run("auto", directory) == chosen


def test_steps_per_execution_must_divide_the_steps_of_an_epoch():
    assert lineage_options.steps_per_execution(4, 12) == 4
    with pytest.raises(ValueError, match=r"--steps_per_execution=4 .* 10 steps"):
        lineage_options.steps_per_execution(4, 10)


def test_the_policy_is_put_back_also_after_an_error():
    before = keras.config.dtype_policy().name
    with pytest.raises(RuntimeError), precision.put_back():
        keras.config.set_dtype_policy("mixed_bfloat16")
        raise RuntimeError
    assert keras.config.dtype_policy().name == before


def test_a_run_leaves_no_policy_behind(tmp_path):
    given = {"arch": one_convolution.ARCH, "train_examples": 60, "batch_size": 20, "gens": 0}
    quiet = {"epochs": 1, "progress": "none", "report": False, "workdir": str(tmp_path / "run")}
    runner.run(options.check(options.Options(precision="mixed_bfloat16", **given, **quiet)))
    assert keras.config.dtype_policy().name == "float32"
