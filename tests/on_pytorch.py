"""Tests of the library that do not hold with `KERAS_BACKEND=torch`, each with its reason.

All others in `objectives`, `distillation` and `lineage` hold, but for `test_*_on_jax.py` and
notebooks, which are not run. Run them with `TORCHDYNAMO_DISABLE=1`. Most of those that are left out
compute with TensorFlow themselves.
"""

_COMMAND = "the command line refuses this backend"
_DOUBT = "PyTorch has no graph that shows in what a subclass or Lambda ends; give `output_kind`"
_DROPOUT = "Keras's dropout without a seed draws from PyTorch's global generator"
_EXPORT = (
    "Keras's export to a SavedModel fails with this backend: torch.export refuses its arguments"
)
_FLOAT64 = "Keras makes float32 of float64 with this backend"
_LOCK = "the interrupted lineage keeps its lock until garbage is collected"
_STEPS = "Keras takes one step at a time with this backend"
_TAPE = "the test takes gradients by TensorFlow's tape"
_TENSORS = "the test computes with functions of TensorFlow or NumPy on tensors of PyTorch"
_TEXT = "PyTorch has no tensors of text"
_TOP = "top_k of PyTorch refuses more places than there are classes"
_TRACED = "the test traces a function of TensorFlow"
_UNTRACED = "steps are not traced with this backend"
_XLA = "there is no XLA with this backend"
# By the beginnings of their names.
EXCEPTIONS = {
    "test_adapted_layers.py::test_a_lineage_of_a_network_with": _TENSORS,
    "test_adapted_layers.py::test_an_ensemble_loads_whose_member": _TENSORS,
    "test_adapted_layers.py::test_ensembles_of_members_that_share": _TENSORS,
    "test_adapted_teachers.py::test_a_saved_model_teaches": _EXPORT,
    "test_adapted_teachers.py::test_a_runtime_that_is_not_installed_is_named[a.pt-torch]": (
        "PyTorch is the backend, so that it cannot be hidden"
    ),
    "test_adjustable.py::test_a_lineage_takes_schedules_and_resumes_them": _LOCK,
    "test_adjustable.py::test_schedules_give_each_epoch_its_numbers_without_a_trace": _UNTRACED,
    "test_adjustable.py::test_what_a_callback_assigns_counts": _UNTRACED,
    "test_analysis.py::test_the_two_parts_make_up_the_gradient": _TAPE,
    "test_bad_input.py::test_a_step_compiled_by_xla": _XLA,
    "test_bad_input.py::test_in_a_stream_the_step_notices_labels": (
        "labels of a stream are refused by the loss, in other words"
    ),
    "test_beside_keras_distiller.py::test_the_stock_class_is_refused_by_backups_when_fresh": (
        "Keras's Distiller has that fault with TensorFlow alone"
    ),
    "test_collapse.py::test_any_accuracy_shows_a_collapse": _TENSORS,
    "test_distillation_losses.py::test_a_loss_without_layer_names": _TENSORS,
    "test_distiller_behaviours.py::test_the_whole_way_from_fit_to_predict": _DOUBT,
    "test_feature_losses.py::test_dead_and_equal_features_have_finite_gradients": _TAPE,
    "test_feature_losses.py::test_gradients_are_those_of_differences_in_float64": _TAPE,
    "test_features.py::test_a_resumed_lineage_trains_projections": _TENSORS,
    "test_features.py::test_layers_of_nested_models_are_compared": _TENSORS,
    "test_features.py::test_tokens_become_maps_without_their_class_tokens": _FLOAT64,
    "test_features.py::test_weights_after_some_steps": _TAPE,
    "test_fit_data.py::test_padding_in_sequences_is_masked[True]": (
        "Keras multiplies weights by a mask of another shape in place, which PyTorch refuses"
    ),
    "test_function_teachers.py::test_an_error_of_the_function_is_raised_itself": (
        "the error comes straight from the function, so that nothing gives it a cause"
    ),
    "test_function_teachers.py::test_xla_is_off": _XLA,
    "test_idle_objectives.py::test_exactly_what_has_no_gradient": _TAPE,
    "test_keras_distillation.py::test_the_loss_is_the_mean_over_the_batch": _TENSORS,
    "test_label_formats.py::test_a_probability_near_zero": _TRACED,
    "test_label_formats.py::test_in_a_compiled_program": _TRACED,
    "test_label_formats.py::test_integers_of_any_width": _TRACED,
    "test_label_formats.py::test_no_label_out_of_range": _TRACED,
    "test_label_formats.py::test_soft_labels_are_matched_as_they_are": _FLOAT64,
    "test_later_objectives.py::test_decoupled_knowledge_follows": _FLOAT64,
    "test_later_objectives.py::test_equal_outputs_or_a_single_example": _TAPE,
    "test_later_objectives.py::test_gradients_are_those_of_the_papers": _TAPE,
    "test_later_objectives.py::test_the_decoupled_parts_add_up": _TAPE,
    "test_lineage.py::test_a_finished_lineage_is_read_and_a_longer_one_resumes": _DROPOUT,
    "test_lineage.py::test_a_generation_equals_the_same_training_by_hand": _DROPOUT,
    "test_lineage.py::test_a_killed_run_ends_bit_identical": _COMMAND,
    "test_lineage.py::test_generations_of_one_shape_are_traced_once": _UNTRACED,
    "test_lineage_arguments.py::test_a_frozen_backbone_serves": _TENSORS,
    "test_lineage_arrays.py::test_all_forms_of_arrays_train_as_in_fit_itself[text]": _TEXT,
    "test_lineage_build.py::test_what_is_kept_computes_what_was_trained": _TENSORS,
    "test_lineage_in_use.py::test_everything_that_fit_takes": _STEPS,
    "test_lineage_kept.py::test_an_average_survives_an_interruption": _DROPOUT,
    "test_lineage_several_outputs.py::test_the_ensemble_averages_each_output_by_its_kind_and_is_one"
    "_file[subclassed]": _DOUBT,
    "test_models.py::test_any_kind_of_model_learns_as_it_would_alone[subclass]": _DOUBT,
    "test_models.py::test_student_and_teacher_may_have_different_precision": _TENSORS,
    "test_models.py::test_text_goes_in_as_it_is": _TEXT,
    "test_nested_outputs.py::test_every_output_learns_from_the_teachers": _TENSORS,
    "test_objective_gradients.py": _TAPE,
    "test_output_kinds.py::test_ends_are_found_behind": _DOUBT,
    "test_own_code_resumes.py": _COMMAND,
    "test_own_loop.py::test_compute_loss_in_a_loop": _TAPE,
    "test_permutation.py::test_a_traced_step": _TRACED,
    "test_permutation.py::test_batches_of_unknown_size": _TRACED,
    "test_projections.py::test_a_resumed_lineage_trains_projections": _LOCK,
    "test_ruled_out_classes.py": _TAPE,
    "test_saving.py::test_the_student_is_saved_and_exported_without_its_teacher": _EXPORT,
    "test_silent_arguments.py::test_log_probabilities_are_logits[Lambda]": _DOUBT,
    "test_silent_arguments.py::test_log_probabilities_are_logits[subclass]": _DOUBT,
    "test_training_options.py::test_ways_of_executing_a_step_train_as_plain_keras[options0]": (
        _STEPS
    ),
    "test_unlabelled.py::test_metrics_leave_out_what_has_no_label": _TOP,
    "test_void_labels.py::test_an_objective_has_no_loss_and_no_gradient": _TAPE,
    "test_what_keras_trains_on.py::test_labels_beside_losses_of_the_student": _DOUBT,
    "test_what_keras_trains_on.py::test_without_a_loss_real_numbers_are_refused": (
        "labels of a data set are checked before a loss is missed"
    ),
}


def let_arrays_be_read() -> None:
    """Lets NumPy read tensors with gradients, as tests do where they compare outputs of models."""
    import torch

    read = torch.Tensor.__array__
    torch.Tensor.__array__ = lambda tensor, *given, **named: read(tensor.detach(), *given, **named)


def reason(name: str) -> str | None:
    """Returns why a test does not hold.

    Args:
        name: The name of its file, two colons and its own.
    """
    found = (why for start, why in EXCEPTIONS.items() if name.startswith(start))
    return next(found, None)
