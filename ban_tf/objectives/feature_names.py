"""The names of feature losses, and the form of `--feature_layers`.

They need no Keras, so that a command line is checked before Keras is imported.
"""

from __future__ import annotations

from ban_tf.errors import InputError

FEATURE_LOSSES = ("fitnets", "attention", "cosine", "relational")


def parse_layers(text: str) -> str | list[tuple[str, str]]:
    """Returns the pairs of layers that `--feature_layers` names: "auto", or of "A:B,C:D".

    Raises:
        InputError: It has another form.
    """
    if text == "auto":
        return text
    pairs = []
    for pair in text.split(","):
        theirs, _, ours = (part.strip() for part in pair.partition(":"))
        if not theirs or not ours or ":" in ours:
            raise InputError(
                f"--feature_layers={text} must be auto, or pairs of a layer of the teacher and one "
                "of the student as A:B,C:D."
            )
        pairs.append((theirs, ours))
    return pairs
