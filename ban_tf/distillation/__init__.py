"""A student that learns from a teacher through `keras.Model.fit`.

`student` has the model, `taught_model` its step and its loss, `saving` its files, `teachers`
where its teacher's outputs come from, `ensemble` the average of models, `recording` teacher outputs
that are kept on disk, `analysis` the parts of the gradient.
"""

from __future__ import annotations

from ban_tf.system import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "BornAgainModel": "student",
        "OnlineTeacher": "teachers",
        "RecordedTeacher": "recorded_teacher",
        "Analysis": "analysis",
    },
)
