"""Flagfiles are found in this folder and in the package, and give their lines in order."""

import pathlib

import pytest

from ban_tf.config import flagfiles
from ban_tf.errors import InputError

FLAGS = pathlib.Path(__file__).parents[2] / "flags"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lines_take_the_place_of_the_flagfile(elsewhere):
    (elsewhere / "inner.cfg").write_text("--b=2\n")
    (elsewhere / "outer.cfg").write_text("# text\n\n  --a=1\n--flagfile=inner.cfg\n// c\n--d\n4\n")
    expected = ["x", "--a=1", "--b=2", "--d", "4", "--a=5"]
    for given in (["--flagfile=outer.cfg"], ["-flagfile", "outer.cfg"]):
        assert flagfiles.expand(["x", *given, "--a=5"]) == expected


def test_a_flagfile_that_names_itself_is_read_once(elsewhere):
    (elsewhere / "own.cfg").write_text("--flagfile=./own.cfg\n--a=1")
    assert flagfiles.expand(["--flagfile=own.cfg"]) == ["--a=1"]


def test_what_is_no_flagfile_stays():
    assert flagfiles.expand(["--flagfile=", "--flagfile"]) == ["--flagfile"]
    assert flagfiles.expand(["--", "--flagfile=a"]) == ["--", "--flagfile=a"]


@pytest.mark.parametrize("path", sorted(FLAGS.rglob("*.cfg")), ids=lambda path: path.stem)
def test_each_flagfile_of_the_package_is_found_in_any_folder(path):
    name = path.relative_to(FLAGS.parent)
    found = flagfiles.expand([f"--flagfile={name}"])
    own = [line for line in path.read_text().splitlines() if line.startswith("--")]
    assert set(own) - set(found) <= {line for line in own if line.startswith("--flagfile=")}
    assert not any("flagfile" in line for line in found)


def test_files_here_come_first_but_not_for_flagfiles_of_the_package(elsewhere):
    (elsewhere / "flags/quick").mkdir(parents=True)
    (elsewhere / "flags/quick/base.cfg").write_text("--epochs=1\n")
    assert flagfiles.expand(["--flagfile=flags/quick/base.cfg"]) == ["--epochs=1"]
    assert "--epochs=15" in flagfiles.expand(["--flagfile=flags/quick/wrn.cfg"])
    (elsewhere / "flags/quick/wrn.cfg").write_text("--flagfile=flags/quick/base.cfg\n")
    assert flagfiles.expand(["--flagfile=flags/quick/wrn.cfg"]) == ["--epochs=1"]


def test_a_missing_flagfile_is_named():
    with pytest.raises(InputError, match=r"quick/none\.cfg cannot be read"):
        flagfiles.expand(["--flagfile=flags/quick/none.cfg"])
