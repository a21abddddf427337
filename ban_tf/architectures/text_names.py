"""Names of networks for text that have layers and units; Keras is not imported here."""

from __future__ import annotations

import re

from ban_tf.errors import InputError


def parse(name: str, family: str, form: str) -> dict[str, int]:
    """Returns the layers and units in a name such as `bilstm-1-64`.

    Args:
        name: The name.
        family: Its beginning.
        form: How names of the family are formed, for the message.

    Raises:
        InputError: It has another form, or a number in it is zero.
    """
    match = re.fullmatch(rf"{family}-(\d+)-(\d+)", name)
    if not match or min(int(match[1]), int(match[2])) < 1:
        raise InputError(f"--arch={name}: this network is named {form}, for example {family}-2-64")
    return {"layers": int(match[1]), "units": int(match[2])}
