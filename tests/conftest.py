"""Settings that hold for every test: quiet, on the CPU, and without a network; which are slow."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

_HERE = pathlib.Path(__file__).parent
# Where tests train nothing, or next to nothing; the others are slow, by file.
_QUICK = (
    *("config", "contract", "datasets", "metrics", "objectives", "report", "runs", "system"),
    *("test_architecture.py", "test_errors.py"),
)


def pytest_collection_modifyitems(items):
    """Marks the tests that `-m "not slow"` leaves out."""
    for item in items:
        if item.path.relative_to(_HERE).parts[0] not in _QUICK:
            item.add_marker(pytest.mark.slow)
