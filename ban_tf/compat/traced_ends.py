"""Finds the last activation of a model from its traced computation.

For models whose Keras graph does not show it: a subclass of `keras.Model`, or a custom layer or
function at the end. In a TensorFlow graph the operations behind an output can be inspected; without
one (eager execution, JAX) the model is traced once more, which computes nothing and changes no
variable.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from ban_tf.compat.model_ends import LINEAR, OTHER, SIGMOID, SOFTMAX, axis_before_reshape

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import jax

# The effect of an operation on the values.
_SAME, _RESHAPE, _TRANSPOSE, _ROWS = "same", "reshape", "transpose", "rows"
_MERGE, _DIVIDE, _LOG, _UNKNOWN = "merge", "divide", "log", "unknown"

_TENSORFLOW = {
    **dict.fromkeys(
        ("Identity", "IdentityN", "Cast", "StopGradient", "PreventGradient", "CheckNumerics"), _SAME
    ),
    **dict.fromkeys(("EnsureShape", "Snapshot"), _SAME),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), _RESHAPE),
    "Transpose": _TRANSPOSE,
    "Softmax": SOFTMAX,
    "Sigmoid": SIGMOID,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"), LINEAR),
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput"), LINEAR),
    **dict.fromkeys(("Conv3DBackpropInputV2", "FusedBatchNormV3", "ResourceGather"), LINEAR),
    "LogSoftmax": LINEAR,
    "Log": _LOG,
    **dict.fromkeys(("BiasAdd", "AddV2", "Add", "AddN", "Sub", "Mul", "Neg"), _MERGE),
    **dict.fromkeys(("Maximum", "Minimum", "ConcatV2", "Pack", "SelectV2", "Select"), _MERGE),
    **dict.fromkeys(("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Tanh", "Softplus"), _MERGE),
    **dict.fromkeys(("Mean", "Sum", "Max", "ClipByValue"), _MERGE),
    "RealDiv": _DIVIDE,
    **dict.fromkeys(("StridedSlice", "Slice", "GatherV2", "Tile", "BroadcastTo"), _ROWS),
    **dict.fromkeys(("ResizeNearestNeighbor", "ResizeBilinear", "AvgPool"), _ROWS),
}
_JAX = {
    **dict.fromkeys(("convert_element_type", "copy", "stop_gradient"), _SAME),
    **dict.fromkeys(("reduce_precision", "optimization_barrier", "sharding_constraint"), _SAME),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _RESHAPE),
    "transpose": _TRANSPOSE,
    "logistic": SIGMOID,
    "log": _LOG,
    **dict.fromkeys(("dot_general", "conv_general_dilated"), LINEAR),
    **dict.fromkeys(("add", "sub", "mul", "neg", "max", "min", "tanh", "select_n"), _MERGE),
    **dict.fromkeys(("concatenate", "reduce_sum", "reduce_max", "clamp"), _MERGE),
    "div": _DIVIDE,
    **dict.fromkeys(("slice", "gather", "broadcast_in_dim", "dynamic_slice"), _ROWS),
}


class _Step(NamedTuple):
    """The operation of a tensor: its effect, its inputs and its axis."""

    what: str
    inputs: Sequence[Any]
    before: Sequence[int | None] = ()
    after: Sequence[int | None] = ()
    axes: Sequence[int] | None = None


def traced_ends(model: keras.Model, inputs: Any, outputs: Sequence[Any]) -> list[str | None]:
    """Returns the last activation of each output of a model; see `model_ends.visible_end`.

    Args:
        model: Any built Keras model.
        inputs: The inputs of a call.
        outputs: Its outputs, as a flat list of tensors; symbolic ones if the inputs are.
    """
    if keras.backend.backend() == "tensorflow":
        if all(_is_in_graph(output) for output in outputs):
            return [_end(output, -1, _tensorflow_step) for output in outputs]
        trace = _of_function
    elif keras.backend.backend() == "jax":
        trace = _of_jaxpr
    else:
        return [None] * len(outputs)
    if model not in _found:
        try:
            _found[model] = trace(model, inputs)
        except Exception:  # models that cannot be traced
            _found[model] = [None] * len(outputs)
    return _found[model]


# Of models that are traced only for inspection.
_found: weakref.WeakKeyDictionary[keras.Model, list[str | None]] = weakref.WeakKeyDictionary()


def _end(tensor: Any, axis: int | None, step_of: Callable[[Any], _Step]) -> str | None:
    """Walks back from a tensor to its computation; `axis` as in `model_ends.visible_end`."""
    step = step_of(tensor)
    if step.what in (LINEAR, SIGMOID):
        return step.what
    if step.what == SOFTMAX:
        return SOFTMAX if axis is not None and axis in (step.axes or (-1,)) else OTHER
    if step.what in (_MERGE, _DIVIDE):
        ends = [_end(tensor, axis, step_of) for tensor in step.inputs]
        # Shifted, scaled or clipped logits are logits; for probabilities the result is unknown.
        return LINEAR if LINEAR in ends and set(ends) <= {LINEAR, None} else None
    if step.what == _LOG:
        return _end_of_logarithm(step.inputs[0], axis, step_of)
    if step.what == _RESHAPE:
        # Several reshapes in a row are one.
        while (inner := step_of(step.inputs[0])).what == _RESHAPE:
            step = step._replace(inputs=inner.inputs, before=inner.before)
    moved = _moved(step, axis)
    return None if moved is _UNKNOWN else _end(step.inputs[0], moved, step_of)


def _end_of_logarithm(tensor: Any, axis: int | None, step_of: Callable[[Any], _Step]) -> str | None:
    """Log-probabilities are logits, also if clipped or shifted by a small number."""
    step = step_of(tensor)
    if step.what != _MERGE:
        return LINEAR if _end(tensor, axis, step_of) == SOFTMAX else None
    ends = {_end_of_logarithm(source, axis, step_of) for source in step.inputs}
    return LINEAR if LINEAR in ends else None


def _moved(step: _Step, axis: int | None) -> Any:
    """Returns the axis in the operation's input."""
    if step.what == _SAME or (axis is None and step.what != _UNKNOWN):
        return axis
    if step.what == _RESHAPE:
        return axis_before_reshape(step.before, step.after, axis)
    if step.what == _TRANSPOSE:
        return None if step.axes is None or axis is None else step.axes[axis] - len(step.axes)
    if step.what == _ROWS:
        whole = step.before and step.after and step.before[-1] == step.after[-1] is not None
        return axis if axis == -1 and whole else None
    return _UNKNOWN


def _is_in_graph(tensor: Any) -> bool:
    return hasattr(tensor, "op") and not isinstance(tensor, tf.Variable) and not _is_eager(tensor)


def _is_eager(tensor: Any) -> bool:
    return isinstance(tensor, tf.__internal__.EagerTensor)


def _tensorflow_step(tensor: Any) -> _Step:
    operation = tensor.op
    name = operation.type
    if name in ("PartitionedCall", "StatefulPartitionedCall"):
        inner = _inside(operation)
        return _Step(_SAME, [inner[tensor.value_index]]) if inner else _Step(_UNKNOWN, ())
    what = _TENSORFLOW.get(name, _UNKNOWN)
    inputs = list(operation.inputs)
    if name == "IdentityN":
        return _Step(_SAME, [inputs[tensor.value_index]])
    if name == "Exp" and inputs[0].op.type == "LogSoftmax":
        return _Step(SOFTMAX, inputs)
    if what in (_MERGE, _DIVIDE):
        total = _sum_of(inputs[0], inputs[1]) if what == _DIVIDE else None
        return _Step(SOFTMAX, inputs, axes=total) if total else _Step(what, inputs)
    before = _shape(inputs[0]) if inputs else ()
    axes = None
    if what == _TRANSPOSE:
        axes = tf.get_static_value(inputs[1])
        axes = None if axes is None else [int(index) for index in axes]
    return _Step(what, inputs, before, _shape(tensor), axes)


def _sum_of(numerator: Any, divisor: Any) -> list[int] | None:
    """Returns the axis over which the divisor sums the numerator, which normalizes it."""
    operation = divisor.op
    if operation.type != "Sum" or operation.inputs[0] is not numerator:
        return None
    axes = tf.get_static_value(operation.inputs[1])
    if axes is None or axes.size != 1 or not operation.get_attr("keep_dims"):
        return None
    rank = len(numerator.shape)
    return [int(axes.reshape(-1)[0]) % rank - rank]


def _inside(operation: Any) -> Sequence[Any] | None:
    """Returns the outputs of a function in the graph, as tensors of the function's graph."""
    name = operation.get_attr("f").name
    function = operation.graph._get_function(name)
    return None if function is None else function.graph.outputs  # None if it is not of Python


def _shape(tensor: Any) -> Sequence[int | None]:
    return () if tensor.shape.rank is None else tensor.shape.as_list()


def _as_tensor(value: Any) -> Any:
    return value if isinstance(value, keras.KerasTensor) else tf.convert_to_tensor(value)


def _of_function(model: keras.Model, inputs: Any) -> list[str | None]:
    """Traces a model to a new graph, which is not run."""
    specification = keras.tree.map_structure(
        lambda each: tf.TensorSpec(
            each.shape, "string" if each.dtype == "string" else tf.as_dtype(each.dtype)
        ),
        keras.tree.map_structure(_as_tensor, inputs),
    )
    function = tf.function(lambda batch: model(batch, training=False), autograph=False)
    graph = function.get_concrete_function(specification)
    outputs = keras.tree.flatten(graph.structured_outputs)
    return [_end(output, -1, _tensorflow_step) for output in outputs]


class _Node(NamedTuple):
    """A value in a flattened jaxpr."""

    step: _Step


def _of_jaxpr(model: keras.Model, inputs: Any) -> list[str | None]:
    inputs = keras.tree.map_structure(
        lambda each: (
            # The batch size does not matter; other unknown axes cannot be traced.
            jax.ShapeDtypeStruct((each.shape[0] or 2, *each.shape[1:]), each.dtype)
            if isinstance(each, keras.KerasTensor)
            else each
        ),
        inputs,
    )
    # Within `fit` variables only have values in the scope of the step.
    state = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(state_mapping=state):
        traced = jax.make_jaxpr(lambda batch: model(batch, training=False))(inputs)
    outputs = _nodes(traced.jaxpr, [_leaf() for _ in traced.jaxpr.invars])
    return [_end(output, -1, lambda node: node.step) for output in outputs]


def _leaf() -> _Node:
    return _Node(_Step(_UNKNOWN, ()))


def _nodes(jaxpr: Any, arguments: Sequence[_Node]) -> list[_Node]:
    """Returns the outputs of a jaxpr, with nested calls inlined."""
    known = dict(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> _Node:
        literal = hasattr(variable, "val")
        return _leaf() if literal else known.get(variable) or _leaf()

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        inner = next(
            (
                equation.params[key]
                for key in ("call_jaxpr", "jaxpr", "fun_jaxpr")
                if key in equation.params
            ),
            None,
        )
        inner = getattr(inner, "jaxpr", inner)
        if inner is not None and len(inner.invars) == len(inputs):
            found = _nodes(inner, inputs)
        else:
            found = [_jax_node(equation, inputs)] * len(equation.outvars)
        known.update(zip(equation.outvars, found, strict=False))
    return [read(variable) for variable in jaxpr.outvars]


def _jax_node(equation: Any, inputs: Sequence[_Node]) -> _Node:
    what = _JAX.get(equation.primitive.name, _UNKNOWN)
    before = tuple(equation.invars[0].aval.shape) if inputs else ()
    after = tuple(equation.outvars[0].aval.shape)
    if what == _DIVIDE:
        total = _normalizes(*inputs)
        return _Node(_Step(SOFTMAX, inputs, axes=total) if total else _Step(what, inputs))
    axes = equation.params.get("permutation" if what == _TRANSPOSE else "axes")
    return _Node(_Step(what, inputs, before, after, axes))


def _normalizes(numerator: _Node, divisor: _Node) -> list[int] | None:
    """Like `_sum_of` for JAX, where a sum is broadcast over the reduced axis."""
    while divisor.step.what in (_ROWS, _RESHAPE):
        divisor = divisor.step.inputs[0]
    axes, inputs = divisor.step.axes, divisor.step.inputs
    if divisor.step.what != _MERGE or axes is None or len(axes) != 1 or inputs[0] is not numerator:
        return None
    return [axes[0] - len(divisor.step.before)]


def ends_of(
    model: keras.Model, visible: Mapping[str, str | None], outputs: Mapping[str, Any], inputs: Any
) -> dict[str, str | None]:
    """Returns the last activation of each output of a model that was just called.

    Args:
        model: The model.
        visible: The ends that its graph shows, by output; see `outputs.visible_ends`.
        outputs: Its outputs by name.
        inputs: The inputs of the call.
    """
    if all(visible.get(name) is not None for name in outputs):
        return {name: visible[name] for name in outputs}
    traced = traced_ends(model, inputs, list(outputs.values()))
    pairs = zip(outputs, traced, strict=True)
    return {name: visible.get(name) or end for name, end in pairs}
