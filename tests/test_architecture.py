"""Imports go one way, and every package says what lives in it."""

import ast
import functools
import pathlib
import subprocess

import pytest
import scripts

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "ban_tf"


rooms = scripts.load("docs/rooms.py")

# Private names of Keras and TensorFlow, which `compat` alone may use.
_NAMES = """
    _aggregate_additional_loss _all_reduce_sum_gradients _allow_non_tensor_positional_args
    _autoconvert_optionals _compile_config _compile_loss _compile_metrics _compute_loss
    _convert_input_args _create_device_dataset _distribute_strategy _distributed_dataset
    _flat_losses _flatten_layers _fn_kwargs _functional _get_function _get_own_losses
    _get_regularization_losses _inbound_nodes _inputs_struct _jax_state_synced _keras_history
    _keras_logits _keras_mask _layers _learning_rate _loss_tracker _losses_override
    _make_function _maybe_symbolic_build _nodes _nodes_by_depth _non_trainable_variables
    _outbound_nodes _outputs_struct _seed_generators _should_eval _symbolic_build
    _trainable_variables _use_cached_eval_dataset _value_specs
"""
PRIVATE = set(_NAMES.split())
PRIVATE_MODULES = ("keras.src", "tensorflow.python")
# Named so, and yet public: methods of named tuples, and `os._exit`.
PUBLIC = {"_asdict", "_replace", "_fields", "_exit"}


def test_every_module_is_in_a_room_of_the_list():
    found = {rooms.room(rooms._name(path)) for path in PACKAGE.rglob("*.py")} - {""}
    assert found == set(rooms.ROOMS)


def test_imports_go_one_way():
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in rooms.imports()
        if rooms.room(importer)
        and rooms.room(imported)
        and rooms.ROOMS.index(rooms.room(imported)) > rooms.ROOMS.index(rooms.room(importer))
    ]
    assert not wrong


def test_an_import_against_the_order_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "ban_tf" / "system").mkdir(parents=True)
    (tmp_path / "ban_tf" / "lineage").mkdir()
    (tmp_path / "ban_tf" / "lineage" / "__init__.py").write_text("")
    (tmp_path / "ban_tf" / "system" / "files.py").write_text(
        "def f():\n    import ban_tf.lineage\n"
    )
    monkeypatch.setattr(rooms, "ROOT", tmp_path)
    monkeypatch.setattr(rooms, "PACKAGE", tmp_path / "ban_tf")
    assert list(rooms.imports()) == [("ban_tf.system.files", "ban_tf.lineage")]
    with pytest.raises(AssertionError):
        test_imports_go_one_way()


def test_at_most_five_modules_are_outside_a_package():
    assert len(list(PACKAGE.glob("*.py"))) <= 5


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_each_package_says_what_lives_there(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text
    assert len(text.splitlines()) <= 20


def test_the_drawing_is_current():
    assert rooms.PAGE.read_text() == rooms.page(), "run: python docs/rooms.py"


def _private_uses(tree):
    """Yields what a module uses of Keras and TensorFlow that is private, each with its line."""
    for node in ast.walk(tree):
        names = [*rooms._imported(node)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
        yield from ((node.lineno, name) for name in names if name.startswith(PRIVATE_MODULES))
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.FunctionDef) and node.args.args[:1]:
            names += [node.name] if node.args.args[0].arg == "self" else []  # overrides it
        yield from ((node.lineno, name) for name in names if name in PRIVATE)


def _other_private(trees):
    """Yields private attributes that modules use and none of them defines, with their lines."""
    defined, used = set(PUBLIC), []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)  # of a class, too
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            elif isinstance(node, ast.Attribute) and node.attr[:1] == "_" != node.attr[1:2]:
                used.append((path, node.lineno, node.attr))
    return [use for use in used if use[-1] not in defined]


@functools.cache
def _outside_compat():
    paths = sorted(set(PACKAGE.rglob("*.py")) - set((PACKAGE / "compat").rglob("*.py")))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def test_only_compat_uses_private_names_of_keras_and_tensorflow():
    trees = _outside_compat()
    assert not [(path, *use) for path, tree in trees.items() for use in _private_uses(tree)]


def test_a_private_attribute_outside_compat_is_defined_there():
    assert not _other_private(_outside_compat())


@pytest.mark.parametrize(
    "code",
    [
        "from keras.src.losses import loss",
        "import tensorflow.python.ops",
        "importlib.import_module('keras.src.models')",
        "model._compile_loss",
        "getattr(model, '_keras_mask', None)",
        "class A:\n    def _symbolic_build(self): ...",
    ],
)
def test_a_private_name_is_noticed(code):
    assert list(_private_uses(ast.parse(code)))


def test_a_private_attribute_of_something_else_is_noticed():
    assert _other_private({"a": ast.parse("model._unheard_of")})
    assert not _other_private({"a": ast.parse("self._known = 1"), "b": ast.parse("a._known")})


def test_every_package_is_installed():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    tracked = subprocess.run(
        ["git", "check-ignore", *(str(folder / "__init__.py") for folder in folders)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not tracked.stdout, "ignored by git, and so missing from a clone"
