"""The embedded texts: descriptions of SciPy's functions, whose class is the module they are in.

SciPy is needed in any case, and its docstrings change little from version to version. A text is the
description before the first section (such as Parameters). Names of modules are left out, since they
would give the class away, and so are texts that two modules share. There are about 1,200 texts of
10 classes of unequal size.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings

import numpy as np

from ban_tf.errors import InputError

# Modules of at least thirty functions.
CLASSES = (
    *("fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal"),
    *("sparse", "special", "stats"),
)
_SECTION = re.compile(r"^[A-Z][\w ]*\n\s*-{3,}\s*$", re.MULTILINE)
_SIGNATURE = re.compile(r"^\s*[\w.]+\(.*\)\s*$", re.MULTILINE)
_MODULE = re.compile(r"\bscipy[.\w]*")
_FEWEST_WORDS = 4


def load() -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the texts, and their labels int32 `[texts]`.

    Raises:
        InputError: Python left the docstrings out.
    """
    modules: dict[str, set[int]] = {}
    for label, name in enumerate(CLASSES):
        for text in _descriptions(f"scipy.{name}"):
            modules.setdefault(text, set()).add(label)
    found = [(text, *labels) for text, labels in modules.items() if len(labels) == 1]
    if not found:
        raise InputError(
            "--dataset=documents needs docstrings, which Python leaves out with -OO; start it "
            "without."
        )
    texts, labels = zip(*found, strict=True)
    return texts, np.array(labels, np.int32)


def _descriptions(name: str) -> list[str]:
    """Returns the descriptions of a module's functions and classes, sorted by name."""
    module = importlib.import_module(name)
    found = []
    for member in sorted(module.__all__):
        with warnings.catch_warnings():  # of deprecated names
            warnings.simplefilter("ignore")
            thing = getattr(module, member, None)
        text = getattr(thing, "__doc__", None)
        if not isinstance(text, str) or inspect.ismodule(thing):
            continue
        text = inspect.cleandoc(text)
        section = _SECTION.search(text)
        text = _SIGNATURE.sub("", text[: section.start()] if section else text)
        text = _MODULE.sub("", text).strip()
        if len(text.split()) >= _FEWEST_WORDS:
            found.append(text)
    return found
