"""A run resumes with the user's own functions as they were, and refuses others of the same name."""

import importlib
import sys

import pytest
import warm

from ban_tf.compat import fingerprint
from ban_tf.config import options
from ban_tf.errors import RunDirectoryError
from ban_tf.tasks import runner

MODULE = """
import keras

POWER = 2

def distance(a, b):
    return keras.ops.mean(keras.ops.abs(a - b) ** POWER, axis=-1)

def objective(labels, teacher, student):
    return distance(teacher, student)

def builder(input_shape, num_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dense(num_classes),
        ]
    )
"""


def _write(folder, old="", new=""):
    (folder / "own_code.py").write_text(MODULE.replace(old, new) if old else MODULE)
    importlib.invalidate_caches()
    sys.modules.pop("own_code", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_code")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield folder
    sys.modules.pop("own_code", None)


def _options(folder, **changes):
    settings = {
        "arch": "own_code:builder",
        "objective": "own_code:objective+labels",
        "gens": 1,
        "epochs": 1,
        "train_examples": 60,
        "batch_size": 20,
        "progress": "none",
        "report": False,
        "workdir": str(folder / "run"),
    }
    return options.check(options.Options(**{**settings, **changes}))


@pytest.fixture(scope="module")
def trained(folder):
    """A folder with a run, which was resumed with the same code in another form."""
    _write(folder)
    runner.run(_options(folder))
    _write(folder, "import keras\n", "# A remark is no change.\nimport keras\n")
    runner.run(_options(folder))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "flag"),
    [
        ("distance(teacher, student)", "distance(student, 2 * teacher)", "objective"),
        ("ops.abs(a - b)", "ops.sqrt(1 + (a - b) ** 2)", "objective"),
        ("POWER = 2", "POWER = 3", "objective"),
        ('activation="relu"', 'activation="tanh"', "arch"),
    ],
)
def test_a_run_does_not_resume_with_other_code(trained, old, new, flag):
    _write(trained, old, new)
    with pytest.raises(RunDirectoryError, match=f"code of --{flag} was"):
        runner.run(_options(trained))


@pytest.mark.nightly
def test_code_has_the_same_hash_in_another_process(folder):
    _write(folder)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import own_code;"
        "from ban_tf.compat import fingerprint;"
        "print(fingerprint.of_code(own_code.objective), fingerprint.of_code(own_code.builder))"
    )
    found = warm.run([sys.executable, "-c", script, str(folder)], check=True)
    import own_code

    ours = [fingerprint.of_code(array) for array in (own_code.objective, own_code.builder)]
    assert found.stdout.split() == ours


def test_networks_of_this_package_need_no_such_fact(folder):
    _write(folder)
    own = runner.prepare(_options(folder)).code
    assert {name.split()[-1] for name in own} == {"--arch", "--objective"}
    assert runner.prepare(_options(folder, arch="wrn-10-1", objective="kd")).code == {}
