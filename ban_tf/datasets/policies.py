"""What `--augment` chooses from: each a sequence of augmentations.

An augmentation is a module with `draw(batch_size, seed)`, which returns a named tuple of tensors
`[batch_size]`, and `apply(images, drawn)`, for images of uint8. One that moves pixels also has
`apply_to_masks(masks, drawn)`. All of them are of TensorFlow; `numpy_policies` has those of other
backends.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ban_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

# The modules of each.
POLICIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "crop": ("augmentation",),
    "standard": ("random_resized_crop",),
    "strong": ("random_resized_crop", "color_jitter", "trivial_augment", "random_erasing"),
}
# Former names.
ALIASES: dict[str | bool, str] = {"yes": "crop", "no": "none", True: "crop", False: "none"}

LARGE = 64  # pixels of height and width, from which photographs are cropped to random sizes
PADDING = 4  # pixels by which "crop" pads
# Shares of red, green and blue in gray: ITU-R 601, as in Pillow.
LUMA = (0.299, 0.587, 0.114)


def resolve(augment: str | bool, wanted: bool, size: Sequence[int]) -> str:
    """Returns the name of a policy.

    Args:
        augment: A value of `--augment`.
        wanted: Whether "auto" augments.
        size: Height and width of the images.
    """
    if augment == "auto":
        smallest = min(size[:2])
        if not wanted or smallest <= PADDING:
            return "none"
        return "standard" if smallest >= LARGE else "crop"
    return ALIASES.get(augment, str(augment))


def steps(policy: str | bool) -> tuple[str, ...]:
    """Returns the names of the augmentations of a policy, in order."""
    return POLICIES[ALIASES.get(policy, str(policy))]


def check(policy: str | bool, size: Sequence[int]) -> None:
    """Checks that images of a size, height and width first, can be augmented by a policy.

    Raises:
        InputError: They are too small.
    """
    if "augmentation" in steps(policy):
        check_crop(size[0], size[1])


def check_crop(height: int, width: int) -> None:
    """Checks that images can be padded by reflection, for "crop".

    Raises:
        InputError: They are too small.
    """
    if min(height, width) <= PADDING:
        raise InputError(
            f"--augment=crop needs images of more than {PADDING} pixels in height and width; they "
            f"have {height}x{width}."
        )


def _modules(policy: str | bool) -> list[Any]:
    return [importlib.import_module(f"ban_tf.datasets.{name}") for name in steps(policy)]


def draw(policy: str | bool, batch_size: int, seed: tf.Tensor) -> tuple[Any, ...]:
    """Draws all augmentations of a policy from a seed, int32 `[2]`."""
    import tensorflow as tf

    modules = _modules(policy)
    seeds = [seed] if len(modules) < 2 else tf.unstack(tf.random.split(seed, len(modules)))
    return tuple(step.draw(batch_size, part) for step, part in zip(modules, seeds, strict=False))


def apply(policy: str | bool, images: tf.Tensor, drawn: Sequence[Any]) -> tf.Tensor:
    """Augments images.

    Args:
        policy: One of `POLICIES`.
        images: uint8 `[batch, height, width, channels]`.
        drawn: The result of `draw`, one entry per image.

    Raises:
        InputError: The images are too small for "crop".
    """
    for step, values in zip(_modules(policy), drawn, strict=True):
        images = step.apply(images, values)
    return images


def apply_to_masks(policy: str | bool, masks: tf.Tensor, drawn: Sequence[Any]) -> tf.Tensor:
    """Moves the pixels of masks as those of their images.

    Args:
        policy: One of `POLICIES`.
        masks: uint8 `[batch, height, width]`.
        drawn: The result of `draw`, one entry per mask.

    Returns:
        Masks of the same shape and type. Pixels from outside of a mask are 255, without a class.
    """
    masks = masks[..., None]
    for step, values in zip(_modules(policy), drawn, strict=True):
        if hasattr(step, "apply_to_masks"):  # others change colors alone
            masks = step.apply_to_masks(masks, values)
    return masks[..., 0]
