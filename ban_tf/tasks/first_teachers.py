"""`--teacher_from` on images where it teaches generation 0, and is not generation 0 itself."""

from __future__ import annotations

from typing import Any

from ban_tf.config.options import Options
from ban_tf.distillation import teacher_files, teacher_names
from ban_tf.distillation.mapped_teacher import MappedTeacher
from ban_tf.distillation.recorded_teacher import RecordedTeacher
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.tasks import image_recordings
from ban_tf.tasks.given_recording import GivenRecording
from ban_tf.tasks.image_networks import ImageNetworks
from ban_tf.tasks.other_runtimes import OtherRuntime


def given(
    options: Options, networks: ImageNetworks
) -> tuple[tuple[Any, str] | None, GivenRecording | OtherRuntime | None]:
    """Returns the teacher of generation 0.

    Args:
        options: The options of the run.
        networks: Its networks.

    Returns:
        The teacher and what identifies it, None if generation 0 has none; and its recording, of
        which the batches bring the outputs, if it is one or will be one.

    Raises:
        InputError: It cannot be read, does not fit the data, or is no better than chance.
    """
    value = options.teacher_from
    if not value or teacher_names.is_first_model(vars(options)):
        return None, None
    sources = teacher_names.parse(value)
    if sources[0].is_recording or sources[0].is_of_other_runtime:
        augment, path = image_recordings.augmentation(options, networks.data), sources[0].path
        recording: GivenRecording | OtherRuntime
        if sources[0].is_recording:
            recording = GivenRecording(
                *(path, networks.data, augment, options.view_seed, options.teacher_classes),
                target=networks.target,
            )
            recording.check_accuracy()
        else:
            views = image_recordings.views(options, augment)
            recording = OtherRuntime(
                *(path, options, networks.normalized_data, augment, views), target=networks.target
            )
        recorded = _mapped(RecordedTeacher(), recording.targets)
        return (recorded, recording.describe()), recording
    found = [networks.teacher(source.path) for source in sources]
    weights = [source.weight for source in sources if source.weight is not None]
    models, targets = [model for model, _ in found], found[0][1]
    joint = OnlineTeacher(models, weights=weights or None)
    teacher = _mapped(joint, targets)
    return (teacher, f"{teacher_names.SEVERAL}{teacher_files.digest(teacher)[:16]}"), None


def _mapped(teacher: Any, targets: list[int | None] | None) -> Any:
    return teacher if targets is None else MappedTeacher(teacher, targets)
