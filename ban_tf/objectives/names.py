"""What an objective is called, where it lives, and whether labels come along.

This table needs no Keras, so that a command line is checked before Keras is imported.
"""

from __future__ import annotations

import difflib

# name -> (module, class, weight of the label term that its paper adds)
OBJECTIVES = {
    "labels": ("ban_tf.objectives.labels", "Labels", 1.0),
    "kd": ("ban_tf.objectives.dark_knowledge", "DarkKnowledge", 0.0),
    "cwtm": ("ban_tf.objectives.confidence_weighting", "ConfidenceWeighted", 0.0),
    "dkpp": ("ban_tf.objectives.permutation", "PermutedDarkKnowledge", 0.0),
    "importance": ("ban_tf.objectives.confidence_weighting", "ImportanceWeighted", 0.0),
    "dkd": ("ban_tf.objectives.decoupled", "DecoupledKnowledge", 1.0),
    "dist": ("ban_tf.objectives.relational", "RelationalMatch", 1.0),
}


def parse(name: str) -> tuple[str, float]:
    """Splits an objective's name into the objective and the weight of the label term.

    Args:
        name: Such as "kd", "kd+labels" or "my_package.my_module:my_function".

    Returns:
        The name without "+labels", and 1.0 if labels are learnt from as well, else 0.0.

    Raises:
        ValueError: There is no such objective.
    """
    base, plus, rest = name.partition("+")
    if plus and rest != "labels":
        raise ValueError(f"--objective={name}: only +labels may be added to an objective.")
    if ":" in base:
        return base, 1.0 if plus else 0.0
    if base not in OBJECTIVES:
        close = difflib.get_close_matches(base, OBJECTIVES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"--objective={name} is unknown; {hint}known are {', '.join(OBJECTIVES)}, each also with "
            "+labels, and package.module:function."
        )
    return base, 1.0 if plus else OBJECTIVES[base][2]
