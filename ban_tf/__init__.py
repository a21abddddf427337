"""Born-Again Networks for Keras (Furlanello et al., 2018).

Names are imported when they are first used, so that `import ban_tf` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from ban_tf import registration

_HOMES = {
    "BornAgainModel": "ban_tf.student",
    "Generation": "ban_tf.lineage",
    "Lineage": "ban_tf.lineage",
    "OnlineTeacher": "ban_tf.teachers",
    "RecordedTeacher": "ban_tf.teachers",
}
_MODULES = (
    "analysis",
    "architectures",
    "datasets",
    "layers",
    "objectives",
    "optimizers",
    "report",
    "teachers",
)

__all__ = [*_HOMES, *_MODULES]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"ban_tf.{name}")
    raise AttributeError(f"module 'ban_tf' has no attribute {name!r}")


registration.install()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
