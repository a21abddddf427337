"""`ban-tf VERB`: every verb is there, answers `--help`, and a wrong one is a sentence."""

import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

from ban_tf.cli import verbs


def _run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_has_a_line_for_each_verb(arguments, capsys):
    assert verbs.main(arguments) == 0
    shown = capsys.readouterr().out
    for verb, words in verbs.VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(words)}$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) <= 80


def test_without_arguments_the_first_command_is_shown_before_the_verbs(capsys):
    assert verbs.main([]) == 0
    command = "ban-tf train --gens=3 --arch=wrn"
    assert command in capsys.readouterr().out.partition("ban-tf VERB")[0]


@pytest.mark.parametrize("verb", [verb for verb in verbs.VERBS if verb != "train"])
def test_each_verb_has_a_help_of_its_own(verb, capsys):
    try:
        code = verbs.main([verb, "--help"])
    except SystemExit as end:  # argparse's way
        code = end.code
    assert code == 0
    assert f"ban-tf {verb}" in capsys.readouterr().out


def test_every_module_of_a_verb_can_be_called():
    for verb in verbs.VERBS:
        assert callable(importlib.import_module(f"ban_tf.cli.{verb}").main)


@pytest.mark.parametrize(
    ("verb", "flag"),
    [("report", "output"), ("export", "output"), ("predict", "csv"), ("evaluate", "json")],
)
def test_empty_values_are_refused(verb, flag, capsys):
    given = {"export": ["--to=keras"], "evaluate": ["--dataset=digits"]}.get(verb, [])
    assert verbs.main([verb, "run", "other", *given, f"--{flag}="]) == 2
    assert f"--{flag} is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("report", "name a run"),
        ("predict", "name a run and at least one file"),
        ("evaluate", "--dataset must be given."),
        ("export", "--to must be given."),
        ("reproduce", "give --list, --show=ROW, or a ROW"),
    ],
)
def test_a_verb_without_what_it_needs_is_one_sentence_and_code_2(verb, message, capsys):
    assert verbs.main([verb]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["launch", "--workers=0", "--"], "ban-tf launch: --workers=0 must be between 1 and 64."),
        (["launch", "--grace=-1", "--"], "ban-tf launch: --grace=-1 must be at least 0."),
        (["launch"], "ban-tf launch: the flags of `ban-tf train` follow --: "),
        (["launch", "--gens=3"], "ban-tf launch: the flags of `ban-tf train` follow --: "),
        (["predict", "run", "a.png", "--top=0"], "ban-tf predict: --top=0 must be at least 1."),
        (["runs", "--nosuch"], "ban-tf runs: There is no flag --nosuch."),
        (["predict", "--mode=1"], "There is no flag --mode; did you mean --model?"),
        (["predict", "--top"], "ban-tf predict: --top needs a value."),
    ],
)
def test_flags_of_the_verbs_are_refused_in_plain_words(arguments, message, capsys):
    assert verbs.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("verb", "hint"), [("evalute", "did you mean evaluate?"), ("zzz", "there are train, runs")]
)
def test_a_wrong_verb_is_one_sentence_and_code_2(verb, hint, capsys):
    assert verbs.main([verb]) == 2
    said = capsys.readouterr().err
    assert repr(verb) in said
    assert hint in said


def test_the_three_ways_to_train_are_one(tmp_path):
    ways = (["ban_tf.main"], ["ban_tf", "train"], ["ban_tf"])
    shown = [_run("-m", *way, "--gens=2", "--nonsense", cwd=tmp_path) for way in ways]
    assert [line.returncode for line in shown] == [2, 2, 2]
    assert len({line.stderr for line in shown}) == 1
    assert "nonsense" in shown[0].stderr


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["runs", "--help"]])
def test_output_that_cannot_be_written_is_one_sentence(arguments, monkeypatch, capsys):
    with pathlib.Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit, match=r"^1$"):
            verbs.main(arguments)
    assert "output cannot be written" in capsys.readouterr().err


def test_output_whose_reader_has_gone_ends_the_command(monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(SystemExit, match=r"^1$"):
            verbs.main(["--help"])
    assert len(capsys.readouterr().err.splitlines()) == 1


_WARNS = """
import logging
from absl import logging as abseil
from ban_tf.cli import common

def work(values, names):
    abseil.warning("%s words are unknown.", 3)
    logging.getLogger("tensorflow").warning("other")

code = common.run("ban-tf predict", "", [], work)
assert code == 0 and not logging.getLogger().handlers
"""


def test_warnings_of_a_command_begin_with_its_name(tmp_path):
    done = _run("-c", _WARNS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "ban-tf predict: 3 words are unknown.\n")
