"""Whatever the flags are: a run is accepted, or refused at once in one sentence with code 2."""

import contextlib
import dataclasses
import io
import os
import pathlib
import time

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from ban_tf.cli import common, train
from ban_tf.config import options
from ban_tf.errors import InputError
from ban_tf.tasks import runner

_PATIENCE = 10.0  # seconds in which a run is refused
_EXAMPLES = int(os.environ.get("BAN_TF_EXAMPLES", "80"))  # more by the environment variable

_HOSTILE = (
    *("", " ", "0", "-1", "nan", "inf", "-inf", "1e999", "1_000", "0x10", "\u0663", "9" * 5000),
    *("auto", "none", "None", "true", "a" * 300, "a/" * 3000, "\0", "a\nb", "a\n--gens=1", "\r"),
    *("\u202egnp", "\udcff", "'", '"', "$(ls)", ";", "--", "-", "=", "%s", "{}", "\\", "\x1b[2J"),
    *(".", "..", "/", "~", "file", "file/x", "folder", "/dev/null", "/proc/1/mem"),
)
_TEXTS = {
    "arch": (
        *("wrn", "WRN", "wrn-10-1", "densenet-10-4", "lstm", "lstm-1-4", "cnn-lstm-1-4", "resnet"),
        *("wrn-0-0", "wrn-10", "wrn-10-100000", "wrn-1000000-1", "densenet-9-1", "densenet-10-0"),
        *("densenet-10-4@depth=0.1", "densenet-99999-9", "densenet-10-999999", "lstm-0-1"),
        *("resnet-wide-1-1@densenet-10-4", "resnet-wide-1-0@densenet-10-4", "resnet-wide-1-1@"),
        *("densenet-10-4@compression=0.1", "densenet-10-4@depth=9@depth=9", "lstm-1-999999"),
        *("keras:vgg16", "VGG16", "keras:", "keras:VGG17", "kerashub:", "kerashub:nowhere"),
        *("bilstm", "bilstm-1-4", "text-cnn-4", "text-cnn-0", "text-transformer-1-8", "bilstm-1"),
        *("unet", "unet-1-4", "unet-0-1", "unet-10-99999"),
        *("mlp", "mlp-1-4", "mlp-0-1", "table-resnet-1-4", "table-resnet-1-999999"),
        *("os:getcwd", "nowhere:f", "os:", ":f", "os:a b", "a.b:c.d", "json:loads"),
    ),
    "dataset": (
        *("digits", "text", "folder:", "text:", "folder:folder", "text:folder", "text:file"),
        *("folder:file", "cifar10", "mnist", "cifar11", "table:x", "digits:x", "TEXT"),
        *("csv:", "csv:file", "csv:folder", "documents", "documents:", "documents:folder"),
        *("table:wine", "table:diabetes", "table:folder"),
        *("segmentation", "segmentation:", "segmentation:folder", "segmentation:file"),
        *("segmentation:tfds:", "segmentation:tfds:nowhere"),
    ),
    "objective": (
        *("kd", "labels", "cwtm", "importance", "dkpp", "dkd", "dist", "mse", "kd+labels"),
        *("labels+labels", "kd+", "+labels", "kd+kd", "kdd", "kd-standardised", "nowhere:f"),
        *("json:dumps", "os:nothing", "os:getcwd+labels", "::", "a:b:c"),
    ),
    "callbacks": ("nowhere:f", "os:getcwd", "os:", ":f", "os:a b", "json:loads"),
    "image_size": ("12", "9x12", "0", "16384", "12x"),
    "gens": ("0", "1", "3", "1000", "1001"),
    "teacher_from": ("teacher.keras",),
    "weights": ("none", "imagenet", "teacher.keras"),
    "freeze": ("backbone", "none", "until:1", "until:0", "until:"),
    "workdir": ("run", "a/b/c"),
}
_TEXTS["student_arch"] = _TEXTS["arch"]


def _number(kind, low, high):
    high = min(high, 10**12)
    ends = [low, high, low - 1, high + 1, low + 1e-9]
    numbers = st.integers(int(low) - 2, int(high) + 2)
    if kind == "float":
        numbers = st.floats(width=64) | st.floats(low, high)
    return st.sampled_from(ends).map(str) | numbers.map(str)


def _value(field):
    flag = options.FLAGS[field.name]
    good = st.sampled_from([*flag.choices, *_TEXTS.get(field.name, ()), str(field.default)])
    if flag.bounds and field.name != "gens":
        kind = "float" if "float" in field.type else "int"
        good = st.one_of(good, _number(kind, *flag.bounds), _number(kind, *flag.bounds))
    hostile = st.sampled_from(_HOSTILE) | st.text(max_size=8)
    return st.one_of(good, good, good, hostile)


def _argument(field):
    given = _value(field).map(lambda value: f"--{field.name}={value}")
    if field.type.startswith("bool"):
        return given | st.sampled_from([f"--{field.name}", f"--no{field.name}"])
    return given


_FLAGS = [_argument(field) for field in dataclasses.fields(options.Options)]
_OTHERS = st.sampled_from(
    (
        *("--flagfile=good.cfg", "--flagfile=itself.cfg", "--flagfile=binary.cfg", "--flagfile="),
        *("--flagfile=absent", "--flagfile=folder", "--flagfile", "--gens", "gens=3", "--=", "-=1"),
        *("--no", "--nogens", "---gens=1", "--undefok=x", "--Gens=1", "--gens 1", "--x\n=1", "\0"),
    )
)
_COMMANDS = st.lists(st.one_of(*_FLAGS, *_FLAGS, _OTHERS), max_size=5)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A folder with what the flags name."""
    place = tmp_path_factory.mktemp("flags")
    for name, content in {
        "file": b"some words\n" * 9,
        "teacher.keras": b"no model",
        "good.cfg": b"--epochs=2\n--student_arch=wrn-10-1\n",
        "itself.cfg": b"--flagfile=itself.cfg\n--gens=1\n",
        "binary.cfg": bytes(range(256)),
    }.items():
        (place / name).write_bytes(content)
    (place / "folder").mkdir()
    hypothesis.configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("TF_CONFIG", raising=False)
        yield place


def _start(arguments):
    """Returns the code with which a command ends before it trains; 0 if it would train."""
    values = flags.FlagValues()
    options.define_flags(values)
    try:
        checked = train.checked(train.parse(["ban-tf train", *arguments], values), values)
        started = checked.virtual_devices or checked.threads  # of TensorFlow, for all tests here
        if checked.dataset in ("digits", "text") and not started:
            runner.prepare(checked)
    except SystemExit as end:
        return end.code
    except InputError as error:
        common.print_error("ban-tf", error)
        return 2
    return 0


@hypothesis.settings(
    max_examples=_EXAMPLES,
    derandomize=_EXAMPLES < 1000,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(_COMMANDS)
def test_flags_are_accepted_or_refused_in_one_sentence(arguments):
    before, started, said = sorted(pathlib.Path().rglob("*")), time.monotonic(), io.StringIO()
    with contextlib.redirect_stderr(said):
        code = _start(arguments)
    assert code in (0, 2)
    if code == 2:
        assert time.monotonic() - started < _PATIENCE
        lines = said.getvalue().split("\n")
        assert len(lines) == 2 and lines[0].startswith("ban-tf: ") and not lines[1]
        assert len(lines[0]) < 1200
    assert sorted(pathlib.Path().rglob("*")) == before, "something was written"
