"""Our own errors are one sentence and exit code 2; those of a user's code keep their traceback."""

import ast
import pathlib
import sys

import pytest
import warm

import ban_tf
from ban_tf import errors
from ban_tf.errors import CorruptFileError, DivergenceError, RunDirectoryError, SaveError
from ban_tf.system import user_code

MINE = """
import keras

def objective(labels, teacher, student):
    raise ValueError("shapes do not match in my own code")

def two_losses(labels, teacher, student):
    return student

def builder(input_shape, num_classes):
    raise ValueError("no network today")

class Refusing(keras.layers.Layer):
    def build(self, shape):
        raise ValueError("a layer of mine refuses")

def refusing(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), Refusing()])

def good(input_shape, num_classes):
    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mine")
    (path / "mine.py").write_text(MINE)
    (path / "imports_nothing.py").write_text("import not_installed_here\n")
    return path


def _run(folder, *flags):
    command = [sys.executable, "-m", "ban_tf.main", "--epochs=1", "--gens=1", "--progress=none"]
    return warm.run([*command, *flags], cwd=folder)


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("flags", "last_line", "function"),
    [
        (["--arch=mine:builder"], "ValueError: no network today", "in builder"),
        (
            ["--arch=mine:good", "--objective=mine:objective"],
            "ValueError: shapes do not match in my own code",
            "in objective",
        ),
        (["--arch=mine:refusing"], "ValueError: a layer of mine refuses", "in build"),
        (
            ["--arch=imports_nothing:build"],
            "ModuleNotFoundError: No module named 'not_installed_here'",
            "imports_nothing.py",
        ),
    ],
)
def test_errors_of_a_users_own_code_keep_their_traceback(folder, flags, last_line, function):
    done = _run(folder, *flags, f"--workdir={folder / last_line[:20]}")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert function in done.stderr
    assert done.stderr.strip().splitlines()[-1] == last_line


@pytest.mark.first_cases(1)
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--objective=mine:objectiv"], "did you mean objective?"),
        (["--objective=mine:two_losses", "--arch=mine:good"], "one loss per sample"),
        (["--objective=nowhere:objective"], "there is no module nowhere"),
        (["--arch=mine:goood"], "did you mean good?"),
    ],
)
def test_our_own_errors_are_one_sentence(folder, flags, sentence):
    done = _run(folder, *flags, f"--workdir={folder / flags[0][2:]}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("ban-tf: ")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InputError, ValueError),
        (RunDirectoryError, ValueError),
        (CorruptFileError, ValueError),
        (SaveError, RuntimeError),
        (DivergenceError, RuntimeError),
    ],
)
def test_all_of_ours_have_one_base_and_stay_what_they_were(error, builtin):
    assert issubclass(error, errors.BanError)
    assert issubclass(error, builtin)


MODULES = sorted(pathlib.Path(ban_tf.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_module_raises_an_error_that_could_be_anybodys(module):
    """The command line knows our errors by their class: a bare ValueError shows a traceback."""
    nodes = [*ast.walk(ast.parse(module.read_text()))]
    raised = [
        node.exc.func.id
        for node in nodes
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    ]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    bases = [
        base.id for definition in classes for base in definition.bases if isinstance(base, ast.Name)
    ]
    known = set() if module.stem == "errors" else {*raised, *bases}
    assert not {"ValueError", "TypeError", "RuntimeError", "Exception"} & known


@pytest.mark.parametrize("name", [":function", "module:", "module", "not_there:function", "os:pat"])
def test_names_that_lead_nowhere_are_refused(name):
    with pytest.raises(errors.InputError, match=f"`objective` '{name}'"):
        user_code.load(name, f"`objective` {name!r}")


def test_a_name_may_lead_through_a_class():
    assert user_code.load("pathlib:Path.home", "x").__name__ == pathlib.Path.home.__name__


def test_a_traced_function_raises_our_error_as_what_it_is():
    import tensorflow as tf

    @tf.function
    def traced(x):
        if tf.reduce_sum(x) > 0:
            raise errors.InputError("bad input")
        return x

    with pytest.raises(errors.InputError, match="bad input"):
        traced(tf.ones(2))
