"""The lowest versions are those of setup.cfg, and the container image installs what is here."""

import json
import pathlib
import re

import scripts

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
    assert {"ban_tf", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"} < set(sent)
