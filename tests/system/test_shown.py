"""What is printed can be pasted, and no name hides anything."""

from __future__ import annotations

import ast
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest

import ban_tf
from ban_tf.config import options
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import csv_tables, shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain ß 漢 +=@", "plain ß 漢 +=@"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\x1b[2J\n", r"a\x1b[2J\x0a"),
        ("\x85", r"\u0085"),
        (os.fsdecode(b"\xff"), r"\xff"),
    ],
)
def test_control_characters_and_direction_marks_are_escapes(text, escaped):
    assert shown.escaped(text) == escaped


def test_characters_can_be_kept():
    assert shown.escaped("a\n\u2066b", keep="\n") == "a\n\\u2066b"


@pytest.mark.parametrize(
    "name", ["plain", "two words", "it's; rm -rf $HOME", "a\nb", "a\u202e'\\x41", "*", ""]
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_reads_a_command_as_it_was_meant(name):
    line = shown.command(["printf", "%s", name])
    assert line.splitlines() == [line]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, check=True)
    assert done.stdout.decode() == name


def test_the_command_that_resumes_a_run_is_quoted(tmp_path):
    folder = tmp_path / "my runs; $(touch x)"
    with RunDirectory(folder) as directory:
        directory.commit({"run.cfg": b"--gens=1\n"})
    words = shlex.split(reading.resume(reading.RunReader(folder)))
    assert words[-2:] == [f"--flagfile={folder / 'run.cfg'}", f"--workdir={folder}"]


@pytest.mark.parametrize("end", ["\n--gens=9", "\r--gens=9", "\u2028--gens=9", "\n", "\0"])
def test_a_value_of_several_lines_is_refused(end):
    with pytest.raises(options.OptionsError, match="--data_dir must be a single line") as caught:
        options.check(options.Options(data_dir=f"data{end}"))
    assert len(str(caught.value).splitlines()) == 1


def _calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node


def test_text_files_are_utf_8_in_every_locale():
    files = sorted(pathlib.Path(ban_tf.__file__).parent.rglob("*.py"))
    found = [
        f"{path.name}:{call.lineno}"
        for path in files
        if path.name != "rundir.py"  # its manifest is ASCII
        for call in _calls(path)
        if call.func.attr in ("read_text", "write_text")
        and "encoding" not in [keyword.arg for keyword in call.keywords]
    ]
    assert not found


def test_no_cell_of_a_spreadsheet_is_a_formula():
    rows = [["=1+1.png", "@cat", "-0.5", "1e-05", "-"], ["a=b.png", "\tdog", -2.0, "+3", "x,y"]]
    assert csv_tables.for_spreadsheets(["image", "=class"], rows) == (
        "image,'=class\n'=1+1.png,'@cat,-0.5,1e-05,'-\na=b.png,'\tdog,-2.0,+3,\"x,y\"\n"
    )


@pytest.mark.nightly
@pytest.mark.parametrize("locale", [{"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_are_shown_in_every_locale(locale, tmp_path):
    with RunDirectory(tmp_path / "größe\u202e") as directory:
        directory.commit({"run.cfg": b"--gens=1\n"})
    environment = {**os.environ, "PYTHONCOERCECLOCALE": "0", **locale}
    environment.pop("PYTHONIOENCODING", None)
    for command, code in (
        (["runs", "."], 0),
        (["runs", "ü"], 2),
        (["--data_dir=ü", "--gens=ü"], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ban_tf", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        assert "\u202e".encode() not in done.stdout
    assert (
        b"\\u202e"
        in subprocess.run(
            [sys.executable, "-m", "ban_tf", "runs", str(tmp_path)], capture_output=True, check=True
        ).stdout
    )
