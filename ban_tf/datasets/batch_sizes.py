"""How an epoch is cut into batches."""

from __future__ import annotations

from ban_tf.errors import InputError


def full_batches(examples: int, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Args:
        examples: The number of training examples.
        batch_size: Examples in a batch.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    if batch_size > examples:
        raise InputError(
            f"--batch_size={batch_size} is more than the {examples} training examples; choose a "
            f"smaller batch, such as --batch_size={2 ** (max(examples, 1).bit_length() - 1)}."
        )
    return examples // batch_size
