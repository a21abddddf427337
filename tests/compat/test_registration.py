"""What Keras finds in files after `import ban_tf` alone, in processes of their own."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import warm

import ban_tf
from ban_tf import objectives
from ban_tf.compat import registration
from ban_tf.training import optimizers


def _run(script, folder):
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    return found.stdout


def _run_warm(script, folder):
    """In a process that imported Keras before anything else."""
    return warm.run([sys.executable, "-c", script], check=True, cwd=folder).stdout


def test_every_class_that_is_registered_with_keras_is_found():
    for module in pkgutil.walk_packages(ban_tf.__path__, "ban_tf."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    registered = keras.saving.get_custom_objects()
    classes = {
        name.split(">")[1]: found.__dict__.get("_home", found.__module__)
        for name, found in registered.items()
        if name.startswith("ban_tf>")
    }
    # A class that is registered with Keras has a line in `registration.CLASSES`.
    assert classes == registration.CLASSES
    for name, module in classes.items():
        found = getattr(importlib.import_module(module), name)
        assert registered[f"ban_tf>{name}"] is found


def test_importing_the_package_imports_neither_keras_nor_tensorflow():
    script = (
        "import sys, importlib.util, ban_tf\n"
        "assert importlib.util.find_spec('keras') is not None\n"
        "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)\n"
    )
    _run(script, None)


@pytest.mark.nightly
def test_importing_keras_after_the_package_registers_its_classes_and_imports_them_later():
    script = (
        "import sys, ban_tf\n"
        "import keras\n"
        "assert 'ban_tf>SGD' in keras.saving.get_custom_objects()\n"
        "assert 'ban_tf.distillation.student' not in sys.modules\n"
    )
    _run(script, None)


def _students():
    """One student for each way of distilling."""
    names = [name for name in objectives.OBJECTIVES if name != "labels"]
    return {name: {"objective": name} for name in names} | {
        "progressive": {"objective": objectives.Progressive("kd", 3)},
        "labels": {"objective": "labels"},
    }


@functools.cache
def _saved(base, *names):
    """Returns a folder with a student for each way of distilling, and their outputs by name."""
    folder = base / f"{len(names)}"
    folder.mkdir()
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    np.save(folder / "x.npy", x)
    expected = {}
    for name in names:
        options = _students()[name]
        network, teacher = (
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)
        )
        student = ban_tf.BornAgainModel(network, teacher, **options)
        values = student.objective.kinds == ("values",)
        loss = keras.losses.MeanSquaredError() if values else None
        student.compile(optimizers.SGD(0.1), loss, run_eagerly=True)
        student.fit(x, np.eye(3)[np.arange(8) % 3], verbose=0)
        student.save(folder / f"{name}.keras", include_teacher=True)
        expected[name] = student.predict(x, verbose=0)
    return folder, expected


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("names", "order", "run"),
    [
        (["dkpp"], "import keras, ban_tf", _run_warm),
        (list(_students()), "import keras, ban_tf", _run_warm),
        (list(_students()), "import ban_tf, keras", _run),
    ],
    ids=["one", "all, Keras first", "all, the package first"],
)
def test_saved_students_load_after_importing_the_package_alone(base, names, order, run):
    folder, expected = _saved(base, *names)
    script = (
        f"{order}\n"
        "import json, pathlib, numpy as np\n"
        "x, y = np.load('x.npy'), np.eye(3)[np.arange(8) % 3]\n"
        "found = {}\n"
        "for path in pathlib.Path('.').glob('*.keras'):\n"
        "    model = keras.models.load_model(path)\n"
        "    outputs = model.predict(x, verbose=0).tolist()\n"
        "    model.fit(x, y, verbose=0)\n"
        "    found[path.stem] = [type(model).__module__, outputs]\n"
        "print(json.dumps(found))\n"
    )
    found = json.loads(run(script, folder).splitlines()[-1])
    assert set(found) == set(expected)
    for name, (module, outputs) in found.items():
        assert module == "ban_tf.distillation.student"
        np.testing.assert_allclose(outputs, expected[name], atol=1e-6)
