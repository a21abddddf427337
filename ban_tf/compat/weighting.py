"""Applies Keras's sample weights, masks and reduction to given losses."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ban_tf.compat import distribute, outputs
from ban_tf.compat.masks import mask_of
from ban_tf.errors import InputError


class PerSample(keras.losses.Loss):
    """Keras's reduction (weights, masks, replicas) of values that are already losses."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses, which are passed as labels, unchanged."""
        return y_true


def reduce(losses: Any, output: Any, sample_weight: Any) -> Any:
    """Returns the weighted mean of losses, a scalar, as in Keras.

    Args:
        losses: `[batch, ...]`.
        output: The model's output of the losses, which carries Keras's mask.
        sample_weight: `[batch]` or `[batch, ...]`, or None.
    """
    # Keras would align `[batch]` with the last axis of the losses.
    weight = combine(sample_weight, None, losses)
    wide = keras.backend.standardize_dtype(losses.dtype) == "float64"
    dtype = "float64" if wide else "float32"
    return mean(PerSample(name="per_sample", dtype=dtype), losses, output, weight)


def in_one_dtype(terms: list[Any]) -> list[Any]:
    """Returns scalars in the widest of their dtypes."""
    dtypes = {keras.backend.standardize_dtype(ops.convert_to_tensor(term).dtype) for term in terms}
    if len(dtypes) == 1:
        return terms
    return [ops.cast(term, keras.backend.result_type(*dtypes)) for term in terms]


def mean(loss: keras.losses.Loss, labels: Any, output: Any, sample_weight: Any) -> Any:
    """Returns a Keras loss of a batch; on several replicas, this one's part of it.

    Keras takes the mean of the replicas' means, which weights examples of unequal parts unequally.
    Here each replica's sum is divided by the total weight of the whole batch, so that the parts
    and their gradients add up to those on one device.

    Args:
        loss: The loss; its `reduction` determines the divisor.
        labels: As for the loss.
        output: The model's output, which carries Keras's mask.
        sample_weight: As for the loss, or None.
    """
    if not distribute.in_replica() or loss.reduction in (None, "none", "sum"):
        return loss(labels, output, sample_weight)
    losses = loss.call(
        *keras.tree.map_structure(
            lambda value: ops.convert_to_tensor(value, loss.dtype), (labels, output)
        )
    )
    size = ops.shape(keras.tree.flatten(output)[0])[0]
    if not len(losses.shape):  # the loss has already taken the mean
        return distribute.scale_to_global_mean(losses, size)
    add_up = PerSample(name="sum", reduction="sum", dtype=loss.dtype)
    weight = combine(sample_weight, None, losses)
    summed = ops.sum(add_up(losses, output, weight))  # Keras cannot sum an empty part
    counted = weight if loss.reduction == "mean_with_sample_weight" else None
    return ops.divide_no_nan(summed, _divisor(losses, output, counted, distribute.share(size)))


def _divisor(losses: Any, output: Any, sample_weight: Any, share: distribute.ReplicaSlice) -> Any:
    """Returns the divisor for the sum of losses `[batch, ...]` of all replicas."""
    masks = [mask for mask in map(mask_of, (output, losses)) if mask is not None]
    if masks or sample_weight is not None:
        weights = combine(sample_weight, None, losses)
        for mask in masks:
            weights = combine(weights, mask, losses)
        return distribute.sum_over_replicas(ops.sum(weights))
    positions = ops.prod(ops.convert_to_tensor(ops.shape(losses)[1:], "int32"))
    return ops.cast(share.total * positions, losses.dtype)


def combine(sample_weight: Any, mask: Any, like: Any) -> Any:
    """Returns sample weight times mask, of `like`'s shape `[batch, ...]`; None without either."""
    combined = None
    for factor in (sample_weight, mask):
        if factor is None:
            continue
        factor = ops.cast(factor, like.dtype)
        while len(factor.shape) > len(like.shape):
            factor = ops.squeeze(factor, axis=-1)
        while len(factor.shape) < len(like.shape):
            factor = ops.expand_dims(factor, axis=-1)
        combined = factor if combined is None else combined * factor
    return None if combined is None else ops.broadcast_to(combined, ops.shape(like))


def by_output(sample_weight: Any, names: list[str]) -> dict[str, Any]:
    """Returns sample weights by output; a single array is used for all outputs."""
    if sample_weight is None or isinstance(sample_weight, (dict, list, tuple)):
        return outputs.named(sample_weight, names)
    return dict.fromkeys(names, sample_weight)


class TermWeights(NamedTuple):
    """Sample weights of the label term and of the teacher term, each as for Keras."""

    labels: Any
    teacher: Any


def by_term(sample_weight: Any, outputs_known: Collection[str]) -> TermWeights:
    """Returns sample weights by term; plain weights are used for both.

    Args:
        sample_weight: As for Keras, or a dictionary of "labels" and "teacher", of which a missing
            one means equal weights.
        outputs_known: The names of outputs, which have priority as keys.

    Raises:
        InputError: A dictionary has a key that is neither.
    """
    if not isinstance(sample_weight, dict) or set(sample_weight) <= set(outputs_known):
        return TermWeights(sample_weight, sample_weight)
    # Keras's structure of weights for arrays of labels and recorded outputs.
    keys = {"teacher" if name == "teacher_logits" else name for name in sample_weight}
    if not keys <= set(TermWeights._fields):
        names = ", ".join(sorted(map(str, set(sample_weight) - set(outputs_known))))
        raise InputError(
            f"`sample_weight` has the keys {names}; give weights by the names of the outputs "
            f"({', '.join(map(str, outputs_known))}), or by term: 'labels' and 'teacher'."
        )
    teacher = sample_weight.get("teacher", sample_weight.get("teacher_logits"))
    return TermWeights(sample_weight.get("labels"), teacher)


def check_class_weight(x: Any, sample_weight: Any, recorded: bool) -> None:
    """Checks that `class_weight` of `fit` can be combined with the other arguments.

    Args:
        x: As for `fit`.
        sample_weight: As for `fit`.
        recorded: Whether labels are packed with recorded outputs of a teacher.

    Raises:
        InputError: Class weights cannot be applied, or samples have weights by term.
    """
    if recorded:
        raise InputError(
            "`class_weight` does not reach labels that come with recorded outputs; give "
            "`sample_weight`."
        )
    specification = getattr(x, "element_spec", None)
    if isinstance(specification, tuple) and len(specification) == 3:
        sample_weight = specification[2]
    if isinstance(sample_weight, dict) and set(sample_weight) <= set(TermWeights._fields):
        raise InputError(
            "`class_weight` cannot be given beside `sample_weight` by term ('labels', 'teacher'); "
            "multiply the weight of each label's class into sample_weight['labels']."
        )


def check_labelled(sample_weight: Any, labels: Any) -> None:
    """Checks that sample weights come with labels, since Keras drops those of arrays without.

    Args:
        sample_weight: As for `fit`.
        labels: As for `fit`.

    Raises:
        InputError: There are weights, and no labels.
    """
    if sample_weight is not None and labels is None:
        raise InputError(
            "`sample_weight` is given without `y`, where Keras leaves it out; give labels, which "
            "may all be -1 for none."
        )


def beside(sample_weight: Any, labels: Any, recorded: bool) -> Any:
    """Returns sample weights by term in the structure that Keras needs for arrays of labels.

    Args:
        sample_weight: As for `fit`.
        labels: As for `fit`.
        recorded: Whether labels are packed with recorded outputs of a teacher.

    Raises:
        InputError: There are several arrays of labels, for which Keras has no weights by term.
    """
    nested = isinstance(labels, (dict, list, tuple))
    by_terms = isinstance(sample_weight, dict) and set(sample_weight) <= set(TermWeights._fields)
    if not nested or not by_terms or set(sample_weight) <= set(labels if not recorded else ()):
        return sample_weight
    if not recorded:
        raise InputError(
            "`sample_weight` is given by term ('labels', 'teacher') beside several arrays of "
            "labels, where Keras takes one array for each; give a tf.data.Dataset of (x, y, "
            "sample_weight)."
        )
    size = len(keras.tree.flatten(labels)[0])

    def spread(weights: Any, arrays: Any) -> Any:
        weights = np.ones(size, "float32") if weights is None else weights
        given = isinstance(weights, (dict, list, tuple))
        return weights if given else keras.tree.map_structure(lambda _: weights, arrays)

    return {
        "labels": spread(sample_weight.get("labels"), labels["labels"]),
        "teacher_logits": spread(sample_weight.get("teacher"), labels["teacher_logits"]),
    }
