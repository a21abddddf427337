"""The command line: bad input is one sentence and exit code 2, before TensorFlow is imported."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys

import one_convolution
import pytest
import warm
from absl import flags

from ban_tf.cli import runs, train
from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import runner


def _run(*arguments, cwd):
    return warm.run([sys.executable, "-m", "ban_tf.main", *arguments], cwd=cwd)


def _options(**changes):
    return options.check(options.Options(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "wrn-15-1"}, "--arch"),
        ({"arch": "wrm-16-1"}, "--arch"),
        ({"arch": "wrn-100000-1"}, "--arch=wrn-100000-1"),
        ({"student_arch": "wrn-10-100000"}, "--student_arch=wrn-10-100000"),
        ({"student_arch": "wrn-11-1"}, "--student_arch=wrn-11-1"),
        ({"student_arch": "lstm"}, "--student_arch=lstm-1-128 is for text"),
        ({"arch": "densenet-999999999-1"}, "--arch=densenet-999999999-1: the depth"),
        ({"arch": "densenet-10000-1"}, "--arch=densenet-10000-1 has 10,000 layers"),
        ({"arch": "densenet-10-200000"}, "--arch=densenet-10-200000 needs more"),
        ({"arch": "densenet-1000-1@depth=10"}, "--arch: a dense block of 1660 units"),
        ({"arch": "densenet-22-12@compression=0.1"}, "--arch: a dense block of 3 units has only"),
        ({"student_arch": "resnet-wide-1000-1@densenet-10-4"}, "--student_arch=resnet"),
        ({"student_arch": "resnet-wide-1-10@densenet-10-99999"}, "--student_arch=.*needs more"),
        ({"dataset": "text", "arch": "lstm-1-999999"}, "--arch=lstm-1-999999 needs more"),
        ({"dataset": "text", "arch": "cnn-lstm-3000-9"}, "--arch=cnn-lstm-3000-9 has 3,000"),
        ({"virtual_devices": 8, "batch_size": 4}, "--batch_size=4 .*--virtual_devices=8"),
        ({"objective": "kdd"}, "--objective=kdd.*did you mean"),
        ({"objective": "kd+lables"}, r"\+labels"),
        ({"objective": "huber"}, "--objective=huber is for regression"),
        ({"dataset": ""}, "--dataset"),
        ({"dataset": "folder:/nowhere"}, "/nowhere"),
        ({"dataset": "csv:/nowhere"}, "a table of images, of texts or of rows as"),
        (  # and not that this objective is not for images
            {"dataset": "csv:/nowhere", "objective": "mse+labels", "target": "price"},
            "--dataset=csv:/nowhere does not exist",
        ),
        ({"dataset": f"csv:{'x' * 300}"}, "x does not exist; give a table of images"),
        ({"dataset": "regression"}, "--dataset=regression names no data; give regression:FILE"),
        ({"dataset": "multilabel"}, "names no data; .* or multilabel:digits"),
        ({"gens": -1}, "--gens"),
        ({"epochs": 0}, "--epochs"),
        ({"learning_rate": float("nan")}, "--learning_rate"),
        ({"learning_rate": -0.1}, "--learning_rate"),
        ({"weight_decay": 5.0}, "--weight_decay"),
        ({"validation_fraction": 0.9}, "--validation_fraction"),
        ({"checkpoint": "best", "validation_fraction": 0.0}, "--validation_fraction"),
        ({"warmup_epochs": 31.0}, "--warmup_epochs"),
        ({"temperature": 0.0}, "--temperature"),
        ({"teacher_from": "missing.keras"}, "missing.keras"),
    ],
)
def test_bad_values_are_one_sentence_that_names_the_flag(changes, message):
    with pytest.raises(options.OptionsError, match=message) as caught:
        _options(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "must"),
    [
        ("--epochs=ten", "a whole number"),
        ("--learning_rate=low: 0", "a number"),
        ("--final_student=maybe", "true or false"),
        ("--teacher_signal=always", "auto, online or recorded"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_it_must_be(argument, must, capsys):
    values = flags.FlagValues()
    options.define_flags(values)
    with pytest.raises(SystemExit) as ended:
        train.parse(["ban-tf", argument], values)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"ban-tf: {argument} must be {must}.\n"


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(options.OptionsError, match="--workdir"):
        _options(workdir=str(tmp_path / "file" / "run"))


@pytest.mark.parametrize("flag", ["workdir", "recordings"])
def test_a_folder_that_cannot_be_written_is_refused(flag, tmp_path, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != tmp_path
    )  # root may write anywhere
    with pytest.raises(options.OptionsError, match=f"--{flag}=.* is not writable"):
        _options(**{flag: str(tmp_path / "run")})


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"workdir": "a" * 300}, "--workdir"),
        ({"workdir": "runs/" + "ü" * 130}, "--workdir"),
        ({"workdir": "abc/" * 2000}, "--workdir"),
        ({"recordings": "a" * 300}, "--recordings"),
        ({"objective": f"{'m' * 300}:f"}, "--workdir"),
        ({"teacher_from": "a" * 300}, "--teacher_from"),
        ({"dataset": f"folder:{'a' * 300}", "workdir": "run"}, "--dataset"),
        ({"dataset": f"text:{'a' * 300}", "workdir": "run"}, "--dataset"),
    ],
)
def test_names_that_the_file_system_does_not_take_are_refused(changes, flag):
    with pytest.raises(options.OptionsError, match=flag):
        _options(**changes)


@pytest.mark.parametrize("flag", ["workdir", "dataset", "arch", "objective"])
def test_empty_values_are_refused(flag):
    with pytest.raises(options.OptionsError, match=f"--{flag} is empty"):
        _options(**{flag: ""})


def test_the_last_of_several_seeds_is_in_bounds():
    _options(seed=2**31 - 3, seeds=3)
    with pytest.raises(options.OptionsError, match=r"--seeds=3 from --seed=2147483646"):
        _options(seed=2**31 - 2, seeds=3)


def test_names_are_resolved_and_the_directory_follows_from_them():
    checked = _options(arch="wrn", objective="kd+labels", seed=3)
    assert checked.arch == "wrn-16-1"
    assert str(checked.directory) == "runs/digits-wrn-16-1-kd+labels-3"


def test_the_flagfile_of_a_run_gives_the_same_options(tmp_path):
    wanted = _options(epochs=7, objective="dkpp", deterministic=True, clip_norm=1.5, gens=0)
    (tmp_path / "run.cfg").write_text(wanted.flagfile())
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", f"--flagfile={tmp_path / 'run.cfg'}"])
    assert options.from_flags(values) == wanted


_BAD_INPUT = [
    (["--arch=wrn-15-1"], "--arch"),
    (["--batch_size=5000"], "--batch_size=5000"),
    (["--gens=many"], "--gens"),
    (["--no_such_flag"], "no_such_flag"),
    (["gens=3"], "not a flag"),
    (["--teacher_top=11", "--teacher_signal=recorded"], "the 10 classes"),
    (["--train_examples=5000"], "--train_examples=5000"),
    (["--arch=nowhere.at_all:build"], "nowhere.at_all"),
]


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(("arguments", "message"), _BAD_INPUT)
def test_bad_input_ends_with_code_2_and_trains_nothing(arguments, message, tmp_path):
    done = _run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "epoch" not in done.stdout


def _start(*arguments):
    """Does what the command does, in this process."""
    values = flags.FlagValues()
    options.define_flags(values)
    runner.run(train.checked(train.parse(["ban-tf train", *arguments], values), values))


@pytest.mark.parametrize(("arguments", "message"), _BAD_INPUT)
def test_bad_input_is_refused_before_anything_is_trained(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, SystemExit)) as refused:
        _start(*arguments)
    printed = capsys.readouterr()
    assert message in str(refused.value) + printed.err
    assert "epoch" not in printed.out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["binary.cfg", "pipe", "folder", "outer.cfg", "/dev/zero"])
def test_a_flagfile_that_is_no_text_is_one_sentence(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.cfg").write_bytes(bytes(range(256)))
    (tmp_path / "outer.cfg").write_text("--gens=1\n--flagfile=outer.cfg\n--flagfile=pipe\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    values = flags.FlagValues()
    options.define_flags(values)
    for arguments in ([f"--flagfile={name}"], ["--gens=1", "-flagfile", name]):
        with pytest.raises(SystemExit, match=r"^2$"):
            train.parse(["ban-tf train", *arguments], values)
        assert runs.main(arguments) == 2
        for line in capsys.readouterr().err.splitlines():
            assert re.match(r"ban-tf( runs)?: --flagfile=\S+ cannot be read \(.*\)\.$", line)


def test_help_waits_for_no_large_package(tmp_path):
    script = (
        "import sys\n"
        "import ban_tf.main\n"
        "from ban_tf.cli import verbs\n"
        "assert not {'tensorflow', 'keras', 'scipy', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    for ask in ("--help", "-h"):
        help = _run(ask, cwd=tmp_path)
        assert help.returncode == 0
        for field in dataclasses.fields(options.Options):
            assert f"--{field.name} " in help.stdout
        assert max(map(len, help.stdout.splitlines())) <= 100


def test_a_given_teacher_with_other_classes_is_refused(tmp_path):
    import keras

    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(7)]).save(
        tmp_path / "teacher.keras"
    )
    with pytest.raises(InputError, match="7 classes"):
        _start(f"--teacher_from={tmp_path / 'teacher.keras'}", f"--workdir={tmp_path / 'run'}")


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_an_interrupted_run_shows_the_command_that_resumes_it(sent, code, tmp_path):
    shutil.copy(one_convolution.__file__, tmp_path)
    arguments = ["--gens=0", "--epochs=500", f"--arch={one_convolution.ARCH}", "--progress=lines"]
    process = warm.start([sys.executable, "-m", "ban_tf.main", *arguments], cwd=tmp_path)
    for line in process.stdout:
        if "epoch 2/500" in line:
            process.send_signal(sent)
            break
    _, error = process.communicate()
    assert process.returncode == code
    assert re.fullmatch(
        r"ban-tf: interrupted; all is saved up to generation 0, epoch \d+( and \d+ steps of the "
        r"next)?; the same command resumes from there\.",
        error.strip(),
    )
