"""Tests of the library that do not hold with `KERAS_BACKEND=torch`, each with its reason.

Those of `objectives` all hold, and so do those in `distillation` that import no TensorFlow, beside
these. Run them with `TORCHDYNAMO_DISABLE=1`.
"""

_EXPORT = (
    "Keras's export to a SavedModel fails with this backend: torch.export refuses its arguments"
)
_TOP = "top_k of PyTorch refuses more places than there are classes"
# By the beginnings of their names.
EXCEPTIONS = {
    "test_distiller_behaviours.py::test_the_whole_way_from_fit_to_predict": (
        "PyTorch has no graph that shows in what a subclass ends; give `output_kind`"
    ),
    "test_saving.py::test_the_student_is_saved_and_exported_without_its_teacher": _EXPORT,
    "test_adapted_teachers.py::test_a_saved_model_teaches": _EXPORT,
    "test_adapted_teachers.py::test_a_runtime_that_is_not_installed_is_named[a.pt-torch]": (
        "PyTorch is the backend, so that it cannot be hidden"
    ),
    "test_unlabelled.py::test_metrics_leave_out_what_has_no_label": _TOP,
    "test_training_options.py::test_ways_of_executing_a_step_train_as_plain_keras[options0]": (
        "Keras takes one step at a time with this backend"
    ),
}


def reason(name: str) -> str | None:
    """Returns why a test does not hold.

    Args:
        name: The name of its file, two colons and its own.
    """
    found = (why for start, why in EXCEPTIONS.items() if name.startswith(start))
    return next(found, None)
