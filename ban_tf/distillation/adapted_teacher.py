"""`ban_tf.adapt_teacher`: a teacher with its own size of images, pixels and precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ban_tf.architectures import adapted, own_preprocessor, pixels
from ban_tf.compat import preparation
from ban_tf.distillation import teachers
from ban_tf.distillation.function_teachers import FunctionTeacher
from ban_tf.errors import InputError
from ban_tf.layers.fold import fold
from ban_tf.system.arguments import check_flag


def adapt_teacher(
    teacher: Any,
    input_shape: Sequence[int],
    *,
    size: Sequence[int] | None = None,
    takes: str | tuple[Sequence[float], Sequence[float]] | None = None,
    given: str | tuple[Sequence[float], Sequence[float]] = pixels.RAW,
    channels_first: bool = False,
    outputs: str | None = None,
    precision: str | None = None,
) -> Any:
    """Returns a teacher that takes the student's images, as the student sees them.

    Each batch, already cropped and augmented for the student, is resized (bilinearly, with
    antialiasing), brought from the student's pixels to the teacher's, and given to the teacher. So
    teachers of different sizes and pixels are together in one list:

    Example:
        ```python
        import keras
        from keras import layers

        small = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
        large = keras.Sequential(
            [keras.Input((16, 16, 3)), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        )
        teacher = ban_tf.adapt_teacher(large, (8, 8, 3), takes="imagenet", given="zero_to_one")
        student = ban_tf.BornAgainModel(keras.models.clone_model(small), [(teacher, 7), (small, 3)])
        ```

    Args:
        teacher: A Keras model or its file; or a function of a NumPy batch, or the file of another
            runtime.
        input_shape: Height, width and channels of the student's images; one channel becomes as
            many as the teacher takes.
        size: Height, width and channels (always the last here) that a function takes; by default
            those of the student. A Keras model says what it takes.
        takes: The pixels that the teacher takes: "raw" (0..255), "zero_to_one",
            "minus_one_to_one", "imagenet" (normalized by its mean and standard deviation), "caffe"
            or a mean and a standard deviation by channel, of images scaled to 0..1. None for the
            student's, or raw ones for a Keras model that prepares them with its preprocessor.
        given: The pixels that the student takes, likewise, but not "caffe".
        channels_first: Whether a function takes `[batch, channels, height, width]`.
        outputs: What a function returns: "logits" or "probabilities"; None finds out.
        precision: A dtype policy, such as "mixed_bfloat16", in which a Keras model computes, with
            batch normalization folded; None for its own.

    Returns:
        A Keras model, or a `Teacher` for a function; both may be in a list with weights.

    Raises:
        InputError: An argument is invalid, or the teacher takes no such images.
    """
    given_shape = _shape("input_shape", input_shape)
    seen = _pixels("given", given, pixels.FORMS)
    own = seen if takes is None else _pixels("takes", takes, pixels.TEACHER_FORMS)
    found = None if isinstance(teacher, (list, tuple)) else teachers.read(teacher)
    if isinstance(found, keras.Model):
        if size is not None or channels_first or outputs is not None:
            raise InputError(
                "`size`, `channels_first` and `outputs` are for functions; a Keras model says what "
                "it takes and returns."
            )
        if preparation.of(found) is not None:
            if takes is not None:
                raise InputError(
                    f"`takes` does nothing, since `teacher` {found.name!r} prepares raw images "
                    "with its preprocessor; leave it out, or set its `preprocessor` to None."
                )
            found, own = own_preprocessor.inside(found, given_shape), pixels.known(pixels.RAW)
        model = found if precision is None else fold(found, precision)
        return adapted.adapted(model, own, seen, given_shape)
    if not callable(found):
        raise InputError(f"`teacher` must be a model or a function. Received: {teacher!r}")
    if precision is not None:
        raise InputError("`precision` is for Keras models; a function has its own.")
    check_flag("channels_first", channels_first)
    shape = given_shape if size is None else _shape("size", size)
    prepare = adapted.preparing(shape, own, seen, given_shape)

    def prepared(images: Any) -> Any:
        images = images if prepare is None else prepare(images)
        return ops.transpose(images, (0, 3, 1, 2)) if channels_first else images

    return FunctionTeacher(found, outputs, prepared)


def _shape(name: str, value: Any) -> tuple[int | None, ...]:
    shape = tuple(value) if isinstance(value, (list, tuple)) else ()
    sides = [isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape]
    some = [right or side is None for right, side in zip(sides, shape, strict=True)][:2]
    if len(shape) != 3 or not all([*some, *sides[2:]]):
        raise InputError(
            f"`{name}` must be the height, width and channels of images, such as (32, 32, 3), "
            f"with None for a height or width that varies. Received: {value!r}"
        )
    return shape


def _pixels(name: str, form: Any, known: Sequence[str]) -> pixels.Pixels:
    if isinstance(form, str):
        if form not in known or form == pixels.NORMALIZED:
            wanted = ", ".join(other for other in known if other != pixels.NORMALIZED)
            raise InputError(
                f"`{name}` must be one of {wanted}, or a mean and a standard deviation. "
                f"Received: {form!r}"
            )
        return pixels.known(form)
    try:
        mean, std = ([float(value) for value in part] for part in form)
        if not all(math.isfinite(value) for value in mean) or not all(
            0 < value < math.inf for value in std
        ):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` must be the name of a form of pixels, or finite means and positive standard "
            f"deviations by channel. Received: {form!r}"
        ) from error
    return pixels.Pixels(mean, std)
