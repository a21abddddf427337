"""Registers the classes of this package with Keras, so that saved files can be loaded.

Keras only loads registered classes from a file. Registration needs Keras, which `import ban_tf`
must not import, so that `--help` is fast. So only names are registered, as soon as Keras is
imported; the module of a class is imported when the class is found in a file, and replaces the name
by the class.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

PACKAGE = "ban_tf"
CLASSES = {
    "BatchNormalization": "ban_tf.layers.batch_normalization",
    "BornAgainModel": "ban_tf.distillation.student",
    "ConfidenceWeighted": "ban_tf.objectives.confidence_weighting",
    "Conv2D": "ban_tf.layers.convolution",
    "DarkKnowledge": "ban_tf.objectives.dark_knowledge",
    "DecoupledKnowledge": "ban_tf.objectives.decoupled",
    "FeatureLoss": "ban_tf.distillation.features",
    "FunctionObjective": "ban_tf.objectives.function",
    "HuberError": "ban_tf.objectives.regression",
    "ImportanceWeighted": "ban_tf.objectives.confidence_weighting",
    "LabelCrossEntropy": "ban_tf.objectives.labels",
    "Labels": "ban_tf.objectives.labels",
    "ObjectiveDistillation": "ban_tf.objectives.keras_distillation",
    "PermutedDarkKnowledge": "ban_tf.objectives.permutation",
    "Perplexity": "ban_tf.tasks.language_training",
    "PreparedModel": "ban_tf.distillation.prepared_model",
    "Progressive": "ban_tf.objectives.progressive",
    "Recomputed": "ban_tf.layers.recomputed",
    "RelationalMatch": "ban_tf.objectives.relational",
    "SGD": "ban_tf.training.optimizers",
    "Schedule": "ban_tf.training.optimizers",
    "SquaredError": "ban_tf.objectives.regression",
    "TeacherBounded": "ban_tf.objectives.regression",
}


class _Deferred:
    """A placeholder for a class that is not imported yet, for Keras's deserialization."""

    def __init__(self, name: str):
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        """Imports the class, and creates an object of it."""
        return getattr(importlib.import_module(CLASSES[self.name]), self.name).from_config(config)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """An import hook that registers the names once Keras is imported."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != "keras" or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            # Of this one import alone: the loader of a spec is made for it.
            execute = functools.partial(self._execute, spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        execute(module)
        if module.__name__ == "keras" and self in sys.meta_path:
            sys.meta_path.remove(self)
            _register(module)


def _register(keras: Any) -> None:
    for name in CLASSES:
        keras.saving.get_custom_objects().setdefault(f"{PACKAGE}>{name}", _Deferred(name))


def install() -> None:
    """Registers the names with Keras now, or as soon as it is imported."""
    if sys.modules.get("keras") is not None:
        _register(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, _AfterKeras())
