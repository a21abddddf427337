"""Settings that hold for every test: quiet, on the CPU, without a network; which are slow."""

import collections
import gc
import os
import pathlib

import on_pytorch
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_PYTORCH = os.environ.get("KERAS_BACKEND") == "torch"
_HERE = pathlib.Path(__file__).parent
# Where tests train nothing, or next to nothing; the others are slow, by file.
_QUICK = (
    *("config", "contract", "datasets", "metrics", "objectives", "report", "runs", "system"),
    *("test_architecture.py", "test_errors.py"),
)
# Files in these folders that start processes, or trace many functions.
_NOT_QUICK = (
    *("test_disk_cache.py", "test_hostile_files.py", "test_label_formats.py", "test_page.py"),
    *("test_objective_names.py", "test_ruled_out_classes.py", "test_rundir.py", "test_tfds.py"),
    *("test_full_disk.py", "test_other_systems.py"),
)


# Where few tests take long; they come first, so that no processor is left without work at the end.
_LONGEST = (
    *("soak", "distribution", "training", "reproduction", "tasks", "lineage"),
    *("test_docs.py", "test_readme.py", "test_examples.py", "test_packaging.py", "cli"),
)


def pytest_configure(config):
    """Keeps the order below where tests run in parallel, instead of files with few tests last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if _PYTORCH:
        on_pytorch.let_arrays_be_read()


def _is_quick(path):
    return path.relative_to(_HERE).parts[0] in _QUICK and path.name not in _NOT_QUICK


def pytest_ignore_collect(collection_path, config):
    """Does not even import what `-m "not slow"` leaves out."""
    if config.option.markexpr == "not slow" and _HERE in collection_path.parents:
        return None if _is_quick(collection_path) else True
    return None


def pytest_collection_modifyitems(items):
    """Marks the tests that `-m` leaves out, and orders them by folder."""
    cases = collections.Counter()
    for item in items:
        if first := item.get_closest_marker("first_cases"):
            test = item.path, item.originalname
            cases[test] += 1
            if cases[test] > first.args[0]:
                item.add_marker(pytest.mark.nightly)
    folders = {item: item.path.relative_to(_HERE).parts[0] for item in items}
    for item, folder in folders.items():
        if (
            folder not in _QUICK
            or item.path.name in _NOT_QUICK
            or item.get_closest_marker("nightly")
        ):
            item.add_marker(pytest.mark.slow)
        why = _PYTORCH and on_pytorch.reason(f"{item.path.name}::{item.name}")
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
    places = {folder: place for place, folder in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(folders[item], len(places)))


def pytest_collection_finish():
    """Collects garbage less often: the many objects of traced functions live for long anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
