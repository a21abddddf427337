"""Imports go one way, and every package says what lives in it."""

import ast
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "ban_tf"


def _load_rooms():
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rooms = _load_rooms()


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
