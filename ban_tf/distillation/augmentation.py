"""Students that augment their own input, of which the teacher sees another view.

Layers such as `keras.layers.RandomFlip` inside a student change its input in training. The teacher
is given the input before that, and runs in inference mode, so that the student learns to predict
from a changed view what the teacher predicts from the unchanged one. That may be wanted; Beyer et
al., 2022, "Knowledge distillation: A good teacher is patient and consistent", arXiv 2106.05237,
find it worse than to show both the same view.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras

from ban_tf.compat import keras_private, preparation

_MIXING = {"AugMix", "CutMix", "MixUp", "RandAugment"}
# The base class of those of KerasCV and of TensorFlow's own.
_BASES = {"BaseImageAugmentationLayer", "BaseRandomLayer", "VectorizedBaseImageAugmentationLayer"}


def layers_of(model: keras.Model) -> list[str]:
    """Returns the names of a model's layers, at any depth, that augment its input in training.

    Dropout and noise, which act on what the network computes, are none of them; nor is what the
    model's preprocessor does, whose result is shared with a teacher that prepares its input alike.
    """
    preprocessor = model.preprocessor if preparation.of(model) is not None else None
    apart = (
        [preprocessor, *keras_private.layers_in(preprocessor)]
        if isinstance(preprocessor, keras.Layer)
        else []
    )
    ignored = {id(layer) for layer in apart}
    return [
        layer.name
        for layer in keras_private.layers_in(model)
        if id(layer) not in ignored and any(map(_augments, type(layer).__mro__))
    ]


def _augments(kind: type) -> bool:
    if not issubclass(kind, keras.Layer):
        return False
    stock = kind.__module__.split(".")[0] == "keras"
    named = kind.__name__.startswith("Random") or kind.__name__ in _MIXING
    return kind.__name__ in _BASES or (stock and named)


def warn_of(student: Any) -> None:
    """Warns that an online teacher does not see what the student sees, if that is so."""
    found = layers_of(student)
    if found:
        warnings.warn(
            f"`student` augments its input in its own layers ({', '.join(found)}), and `teacher` "
            "is called on the input before that; to show both the same view, augment in the data "
            "instead, for example by dataset.map.",
            stacklevel=3,
        )
