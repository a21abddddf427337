"""`ban-tf doctor` describes the machine, and what is missing, also if TensorFlow is broken."""

import configparser
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import ban_tf
from ban_tf.cli import doctor

ROOT = pathlib.Path(__file__).parents[2]


def _lines(text):
    return {line[:14].strip(): line[14:] for line in text.splitlines()}


def test_it_prints_versions_devices_precision_and_free_memory_and_disk(capsys):
    assert doctor.main([]) == 0
    shown = _lines(capsys.readouterr().out)
    assert shown["ban_tf"] == ban_tf.__version__
    assert shown["NumPy"] == np.__version__
    assert shown["backend"] == f"{keras.backend.backend()}, of Keras {keras.__version__}"
    assert "CPU" in shown["devices"]
    assert shown["precision"].partition(":")[0] in ("float32", "mixed_bfloat16")
    assert "GiB free of" in shown["memory"] and "GiB free of" in shown["disk"]
    assert {f"extra {name}" for name in doctor.EXTRAS} < set(shown)


@pytest.mark.parametrize("error", ["ImportError('no such symbol')", "RuntimeError('odd build')"])
def test_a_broken_tensorflow_is_a_line_and_code_0(error, tmp_path):
    (tmp_path / "tensorflow.py").write_text(f"raise {error}\n")
    done = subprocess.run(
        [sys.executable, "-m", "ban_tf", "doctor"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = _lines(done.stdout)
    for name in ("backend", "devices", "precision"):
        assert shown[name] == f"unknown; {error.replace('(', ': ').strip(')')}".replace("'", "")
    assert "GiB free of" in shown["memory"]


def test_the_text_of_tensorflows_own_error_is_replaced_by_its_cause():
    def fail():
        try:
            raise OSError("libcuda.so: cannot open shared object file")
        except OSError:
            raise ImportError("Traceback (most recent call last):\n ...") from None

    assert doctor._attempt(fail).endswith("OSError: libcuda.so: cannot open shared object file")


def test_the_extras_are_those_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    declared = setup["options.extras_require"]
    for name, requirements in doctor.EXTRAS.items():
        assert tuple(declared[name].split()) == requirements
    assert set(doctor.EXTRAS) == set(declared) - {"test", "dev", "docs"}


def test_missing_packages_have_a_command_that_installs_them():
    assert doctor.describe_extra(["numpy>=1.0"]) == f"numpy {np.__version__}"
    assert doctor.describe_extra(["numpy>=1.0", "no-such-package>=2"]) == (
        f'numpy {np.__version__}; missing: pip install "no-such-package>=2"'
    )


def test_an_extra_of_another_package_is_missing_if_what_it_brings_is():
    needed = doctor._distributions("tensorflow[and-cuda]>=2.21")
    assert needed[0] == "tensorflow"
    assert any(name.startswith("nvidia-") for name in needed)


def test_arguments_are_refused(capsys):
    assert doctor.main(["now"]) == 2
    assert "it takes no arguments. Received: now" in capsys.readouterr().err
