"""The lowest versions, what is installed, and the container image are those of this folder."""

import configparser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import scripts
import warm

ROOT = pathlib.Path(__file__).parents[1]

lowest = scripts.load(".ci/lowest.py")


def test_a_floor_becomes_a_version():
    given = ["a>=1.2", 'b-c[d,e]>=3; python_version < "3.13"', "pandas", "ruff==0.1", "# >=1", ""]
    assert lowest.lowest(given) == ["a==1.2", 'b-c==3; python_version < "3.13"']


def test_every_package_of_setup_cfg_with_a_floor_is_held_to_it():
    floors = [line for line in lowest.requirements() if ">=" in line.partition(";")[0]]
    found = lowest.lowest(floors)
    assert len(found) == len({line.replace("[and-cuda]", "") for line in floors})
    assert {"tensorflow==2.21", "tensorboard==2.21", "keras==3.12"} < set(found)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_each_python_has_one_version_of_a_package(version):
    markers = pytest.importorskip("packaging.markers")
    lines = [line.partition("; ") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    here = {"python_version": version}
    names = [
        constraint.partition("==")[0]
        for constraint, _, marker in lines
        if not marker or markers.Marker(marker).evaluate(here)
    ]
    assert len(names) == len(set(names))
    assert {"keras", "tensorflow", "numpy", "scipy", "pytest", "mkdocs-material"} < set(names)


def test_the_package_holds_every_flagfile_and_template(tmp_path):
    pytest.importorskip("setuptools")
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("ban_tf", "flags"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib=built"]
    subprocess.run(command, cwd=tmp_path, check=True)

    def files(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    expected = files(tmp_path / "ban_tf")
    expected |= {pathlib.Path("flags") / path for path in files(tmp_path / "flags")}
    assert files(tmp_path / "built" / "ban_tf") == expected
    script = """
import ban_tf
from ban_tf.config import flagfiles
assert "--dataset=digits" in flagfiles.expand(["--flagfile=flags/quick/wrn.cfg"])
print(ban_tf.__file__)
"""
    done = warm.run(
        [sys.executable, "-c", script],
        cwd=ROOT.anchor,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "built")},
        check=True,
    )
    assert str(tmp_path / "built") in done.stdout


def test_the_requirements_on_jax_are_all_others_than_tensorflow_and_its_parts():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].splitlines()
    needed = {line for line in lines if line and not line.startswith(("tensorflow", "#"))}
    needed = needed - {"importlib_resources"} | {parser["options.extras_require"]["jax"].strip()}
    given = (ROOT / "requirements-jax.txt").read_text().splitlines()
    assert {line for line in given if not line.startswith("#")} == needed


def _image():
    """The instructions of the Dockerfile, each with its arguments on one line."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_starts_the_command_line_as_an_ordinary_user():
    words = [word for word, _ in _image()]
    assert set(words) <= {
        "FROM",
        "ARG",
        "ENV",
        "COPY",
        "RUN",
        "USER",
        "WORKDIR",
        "ENTRYPOINT",
        "CMD",
    }
    last = dict(_image())
    assert last["USER"] not in ("root", "0")
    assert words.index("USER") > max(index for index, word in enumerate(words) if word == "RUN")
    assert json.loads(last["ENTRYPOINT"]) == ["ban-tf"]
    assert json.loads(last["CMD"]) == ["--help"]


def test_the_image_has_the_python_of_the_constraints_and_what_the_build_needs():
    instructions = dict(_image())
    assert instructions["FROM"].startswith("python:3.11")
    assert "--constraint /source/constraints.txt" in instructions["RUN"]
    sent = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in sent)
    assert {"ban_tf", "flags", "setup.cfg", "setup.py", "pyproject.toml"} < set(sent)
    assert {"README.md", "LICENSE"} < set(sent)
