"""Born-Again Networks for Keras (Furlanello et al., 2018).

Names are imported when they are first used, so that `import ban_tf` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from ban_tf.compat import registration

_HOMES = {
    "BornAgainModel": "ban_tf.distillation.student",
    "Generation": "ban_tf.runs.generations",
    "Lineage": "ban_tf.lineage.lineage",
    "MappedTeacher": "ban_tf.distillation.mapped_teacher",
    "OnlineTeacher": "ban_tf.distillation.teachers",
    "RecordedTeacher": "ban_tf.distillation.recorded_teacher",
    "Run": "ban_tf.tasks.run",
    "adapt_teacher": "ban_tf.distillation.adapted_teacher",
    "match_classes": "ban_tf.distillation.class_maps",
    "record": "ban_tf.distillation.recorder",
}
_MODULES = {
    "analysis": "ban_tf.distillation.analysis",
    "architectures": "ban_tf.architectures",
    "datasets": "ban_tf.datasets",
    "features": "ban_tf.distillation.features",
    "layers": "ban_tf.layers",
    "objectives": "ban_tf.objectives",
    "optimizers": "ban_tf.training.optimizers",
    "recording": "ban_tf.distillation.recording",
    "tasks": "ban_tf.tasks",
    "teachers": "ban_tf.distillation.teachers",
}

__all__ = [*_HOMES, *_MODULES]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'ban_tf' has no attribute {name!r}")


registration.install()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
