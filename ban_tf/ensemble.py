"""BANE: the mean of the generations (Furlanello et al., 2018, section 3.2), a Keras model.

It is built of stock Keras layers alone, so that the one file it is saved in loads without
this package.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from ban_tf import copies, outputs

AVERAGES = ("probabilities", "logits")


def ensemble(
    members: Sequence[keras.Model], average: str = "probabilities", name: str = "ensemble"
) -> keras.Model:
    """Returns one model that averages several.

    Args:
        members: Built Functional or Sequential models with the same inputs and one output.
        average: "probabilities" averages the members' predicted distributions, as the paper
            does; "logits" averages their logits (a geometric mean of the distributions).
        name: The name of the model.

    Returns:
        A Functional model. Its output is `[batch, ..., classes]`: probabilities, or logits
        where logits are averaged. The inputs, in the members' structure, are read once, by all.

    Raises:
        ValueError: There are no members, they do not fit together, or `average` is unknown.
    """
    members = list(members)
    if not members:
        raise ValueError("`members` is empty; an ensemble needs at least one model.")
    if average not in AVERAGES:
        raise ValueError(f"`average` must be one of {', '.join(AVERAGES)}. Received: {average!r}")
    if any(len(getattr(model, "outputs", None) or ()) != 1 for model in members):
        raise ValueError("`members` must be Functional or Sequential models with one output each.")
    shapes = {str(model.output_shape) for model in members}
    if len(shapes) > 1:
        raise ValueError(f"`members` have outputs of different shapes: {sorted(shapes)}.")
    first = members[0]
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(
            tensor.shape[1:],
            dtype=tensor.dtype,
            name="inputs" if len(first.inputs) == 1 else tensor.name,
        ),
        first.inputs[0] if isinstance(first, keras.Sequential) else first.input,
    )
    opinions = []
    for index, member in enumerate(members):
        # Members are copies: Keras asks for unique names, and the originals keep theirs.
        try:
            copy = copies.with_same_weights(member)
        except ValueError as error:
            raise ValueError(f"`members` holds a model that cannot be copied: {error}.") from error
        copy.name = f"member_{index}"
        opinion = copy(inputs)
        activation = next(iter(outputs.final_activations(member).values()), "linear")
        if average == "probabilities" and activation == "linear":
            # One unit is the logit of yes: a softmax over it alone would be certain of it.
            kind = "sigmoid" if opinion.shape[-1] == 1 else "softmax"
            opinion = keras.layers.Activation(kind, dtype="float32", name=f"probabilities_{index}")(
                opinion
            )
        elif average == "logits" and activation != "linear":
            raise ValueError("`average` is 'logits', but a member's outputs are probabilities.")
        opinions.append(opinion)
    mean = (
        keras.layers.Average(dtype="float32", name="mean")(opinions)
        if len(opinions) > 1
        else opinions[0]
    )
    return keras.Model(inputs, mean, name=name)
