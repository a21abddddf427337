"""The two numbers in names of networks, such as `lstm-LAYERS-UNITS`; Keras is not imported here."""

from __future__ import annotations

import re

from ban_tf.errors import InputError


def parse(name: str, form: str, example: str) -> dict[str, int]:
    """Returns the numbers in a name.

    Args:
        name: The name, such as `lstm-2-650`.
        form: How names of the family are formed: its name, and what the numbers are in capitals.
        example: A name of the family, for the message.

    Returns:
        The numbers by what they are, such as {"layers": 2, "units": 650}.

    Raises:
        InputError: The name has another form, or a number in it is zero.
    """
    family, first, second = form.rsplit("-", 2)
    match = re.fullmatch(rf"{family}-(\d+)-(\d+)", name)
    if not match or min(int(match[1]), int(match[2])) < 1:
        raise InputError(f"--arch={name}: this network is named {form}, for example {example}")
    return {first.lower(): int(match[1]), second.lower(): int(match[2])}
