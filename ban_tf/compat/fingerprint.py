"""A hash of what a model computes: configuration, graph, constants, code and weights.

Models that compute different functions have different fingerprints. The same model, built again in
another process, has the same one: automatic names, memory addresses, initializers and the seeds of
Keras's layers are excluded. The description contains, in this order:

1. for a Functional model, its graph: each call with its arguments, including arrays;
2. for a layer, its class, its `get_config()`, its nested layers, and its asset files
   (vocabularies, tables);
3. for custom code, also what its configuration may omit: the attributes of the object, the code of
   its class, and of functions their code, defaults, closures and the globals that they read.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
import pathlib
import re
import tempfile
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.compat import python_code

# Described by name and configuration; the code of all other packages is part of the description.
_LIBRARIES = {
    "ban_tf",
    "builtins",
    "jax",
    "jaxlib",
    "keras",
    "keras_hub",
    "numpy",
    "tensorflow",
    "tensorflow_text",
    "torch",
}
# Attributes that Keras adds to used objects, besides those of a bare layer or model.
_BOOKKEEPING = {
    "_auto_config",
    "_build_shapes_dict",
    "_called",
    "_compile_config",
    "_eval_epoch_iterator",
    "_jax_state_synced",
    "_name",
    "build",
    "built",
    "dtype_policy",
    "history",
    "input_spec",
    "name",
    "stop_evaluating",
    "stop_predicting",
    "supports_jit",
    "supports_masking",
}


def of_model(model: keras.Model, weights: bool = True) -> str:
    """Returns the fingerprint of a model.

    Args:
        model: A built model.
        weights: Whether weights are included. Without them, fingerprints compare networks within
            one process, so that shared globals and class attributes are excluded.

    Returns:
        64 hexadecimal digits.
    """
    content = hashlib.sha256(json.dumps(configuration(model, code_data=weights)).encode())
    if weights:
        for array in model.get_weights():
            content.update(json.dumps(_array(array)).encode())
    return content.hexdigest()


def configuration(model: keras.Model, code_data: bool = True) -> Any:
    """Describes everything about a model except the values of its weights.

    Args:
        model: A built model.
        code_data: Whether globals and class attributes that its code reads are included.

    Returns:
        A structure that JSON can hold, equal for equal networks.
    """
    return _Description(model, code_data).of(model)


def of_code(function: Callable[..., Any]) -> str:
    """Returns the hash of a function's code, including all custom code that it reads."""
    return _of_any(function, code_data=True)


def of_object(value: Any) -> str:
    """Returns the fingerprint of any object: its configuration and its custom code.

    Args:
        value: Such as a loss, an optimizer, or a function.
    """
    return _of_any(value, code_data=False)


def _of_any(value: Any, code_data: bool) -> str:
    described = _Description(None, code_data).of(value)
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def of_array(array: Any) -> str:
    """Returns the hash of an array's dtype, shape and content."""
    array = np.asarray(array)
    content = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    if array.dtype.hasobject:  # strings, such as a vocabulary
        content.update(json.dumps(array.tolist(), default=repr).encode())
    else:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def of_weights(weights: Iterable[np.ndarray]) -> str:
    """Returns the hash of a model's weights, in the order of `model.get_weights()`."""
    content = hashlib.sha256()
    for array in weights:
        content.update(str((array.dtype.str, array.shape)).encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def _array(array: Any) -> list[Any]:
    return ["array", of_array(array)]


def _is_library(module: str | None) -> bool:
    return (module or "builtins").split(".")[0] in _LIBRARIES


def _name(kind: Any) -> str:
    """Returns the name of a class or function, without the module for libraries (may change)."""
    module = kind.__module__ or "builtins"
    return f"{module.split('.')[0] if _is_library(module) else module}:{kind.__qualname__}"


@functools.cache
def _bare() -> frozenset[str]:
    """Returns the attributes of every Keras operation, layer and model."""
    # Named, and without an initializer, so that Keras's counters and Python's random state do not
    # change.
    inputs = keras.Input((1,), name="fingerprint_input")
    layer = keras.layers.Identity(name="fingerprint_identity")
    sequential = keras.Sequential([inputs, layer], name="fingerprint_sequential")
    functional = keras.Model(inputs, layer(inputs), name="fingerprint_functional")
    for model in (sequential, functional):
        model.compile()
    operation = keras.Operation(name="fingerprint_operation")
    names = {name for item in (sequential, functional, layer, operation) for name in vars(item)}
    return frozenset(names | _BOOKKEEPING)


class _Description:
    """Describes objects; repeated ones are replaced by their numbers."""

    def __init__(self, model: keras.Model | None, code_data: bool):
        self._code_data = code_data
        self._seen: dict[int, int] = {}
        self._places: dict[int, list[Any]] = {}  # of a graph's tensors
        self._kept: list[Any] = []  # so that ids stay unique
        self._weights = {id(variable) for variable in (model.weights if model else ())}

    def of(self, value: Any) -> Any:
        """Returns a structure of lists, strings and numbers that describes any object."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value if type(value) in (bool, int, float, str, type(None)) else repr(value)
        if isinstance(value, (bytes, complex, range)) or value is Ellipsis:
            return repr(value)
        if isinstance(value, slice):
            return ["slice", *map(self.of, (value.start, value.stop, value.step))]
        if isinstance(value, enum.Enum):
            return [_name(type(value)), value.name]
        if isinstance(value, np.dtype):
            return str(value)
        if isinstance(value, keras.Variable):
            known = [str(value.shape), str(value.dtype), bool(value.trainable)]
            return known if id(value) in self._weights else [*known, _array(value)]
        if isinstance(value, (np.ndarray, np.generic)) or keras.ops.is_tensor(value):
            return _array(value)
        if isinstance(value, keras.KerasTensor):
            described = ["tensor", str(value.shape), str(value.dtype)]
            return [*described, self._places.get(id(value))]
        if isinstance(value, Mapping):
            items = [[str(key), self.of(item)] for key, item in _sorted(value.items())]
            return {"items": items}
        if isinstance(value, (list, tuple)):
            return [self.of(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return ["set", *sorted(json.dumps(self.of(item)) for item in value)]
        return self._of_object(value)

    def _of_object(self, value: Any) -> Any:
        if isinstance(value, (type, types.FunctionType)) and _is_library(value.__module__):
            return _name(value)
        if id(value) in self._seen:
            return ["seen", self._seen[id(value)]]
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if isinstance(value, keras.random.SeedGenerator):
            return _name(type(value))
        if isinstance(value, keras.Operation):
            return self._of_operation(value)
        if isinstance(value, type):
            return self._of_class(value)
        if isinstance(value, functools.partial):
            return ["partial", self.of([value.func, value.args, value.keywords])]
        if isinstance(value, types.MethodType):
            return ["method", self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, (types.ModuleType, types.BuiltinFunctionType)):
            return getattr(value, "__qualname__", value.__name__)
        if hasattr(value, "python_function"):  # of a tf.function
            return self.of(value.python_function)
        described = [self.of(type(value)), self._config(value)]
        if not _is_library(type(value).__module__):
            described.append(self.of(getattr(value, "__dict__", None)))
        elif " at 0x" not in repr(value):  # a dtype or shape, not something with an address
            described.append(repr(value))
        return described

    def _of_operation(self, operation: Any) -> Any:
        described = {"class": self.of(type(operation))}
        if isinstance(operation, keras.Sequential):
            described["layers"] = self.of(list(operation.layers))
            described["inputs"] = self.of(getattr(operation, "inputs", None))
        elif isinstance(operation, keras.Function):
            described["graph"] = self._graph(operation)
        else:
            described["config"] = self._config(operation)
        if isinstance(operation, keras.Layer):
            inside = operation._flatten_layers(include_self=False, recursive=False)
            described["inside"] = self.of(list(inside))
            described["assets"] = _assets(operation)
        library = _is_library(type(operation).__module__)
        # The configuration of a library's class is complete, except for custom arguments.
        described["attributes"] = {
            name: self.of(value)
            for name, value in _sorted(vars(operation).items())
            if name not in _bare()
            and not name.startswith("_self_")
            and (not library or described.get("config") == "unknown" or _own_code(value))
        }
        return described

    def _graph(self, model: Any) -> Any:
        nodes = [
            node
            for depth in sorted(model._nodes_by_depth, reverse=True)
            for node in model._nodes_by_depth[depth]
        ]
        for number, node in enumerate(nodes):
            for index, tensor in enumerate(node.output_tensors):
                self._places[id(tensor)] = ["result", number, index]
        calls = [
            self.of([node.operation, list(node.arguments.args), node.arguments.kwargs])
            for node in nodes
        ]
        inputs = model._inputs_struct
        if len(model.inputs) > 1 and not isinstance(inputs, Mapping):
            # Data in dictionaries is matched by the input's name, unless that is automatic.
            calls.append([_given_name(tensor) for tensor in keras.tree.flatten(inputs)])
        return {
            "calls": calls,
            "inputs": self.of(inputs),
            "outputs": self.of(model._outputs_struct),
        }

    def _config(self, value: Any) -> Any:
        if not hasattr(value, "get_config"):
            return "none"
        try:
            config = value.get_config()
        except Exception:  # the base class refuses arguments that JSON cannot hold
            return "unknown"
        config = _cleaned(config)
        if isinstance(value, keras.Operation):
            config.pop("name", None)
            if _is_library(type(value).__module__):
                config.pop("seed", None)
        return self.of(config)

    def _of_class(self, kind: type) -> Any:
        described: list[Any] = [_name(kind)]
        for base in kind.__mro__:
            if _is_library(base.__module__):
                described.append(_name(base))
                continue
            for name, value in _sorted(vars(base).items()):
                code = python_code.functions_of(value)
                if code:
                    described.append([name, self.of(code)])
                elif self._code_data and not name.startswith("__"):
                    described.append([name, self.of(value)])
        return described

    def _of_function(self, function: types.FunctionType) -> Any:
        described = [
            python_code.describe(function.__code__),
            self.of([function.__defaults__, function.__kwdefaults__]),
            [self.of(python_code.content_of(cell)) for cell in function.__closure__ or ()],
        ]
        if self._code_data:
            used = sorted(python_code.names_read(function.__code__) & set(function.__globals__))
            described.append([[name, self.of(function.__globals__[name])] for name in used])
        return described


def _sorted(items: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return sorted(items, key=lambda item: str(item[0]))


def _own_code(value: Any) -> bool:
    """Returns whether a value is a function or object of custom code."""
    if isinstance(value, (types.FunctionType, functools.partial, types.MethodType)):
        return True
    data = (type(None), bool, int, float, str, bytes, list, tuple, dict, set, keras.Operation)
    return not isinstance(value, data) and not _is_library(type(value).__module__)


def _given_name(tensor: Any) -> str | None:
    made_up = re.fullmatch(r"(keras_tensor|input_layer|input)(_\d+)?(CLONE)?", tensor.name)
    return None if made_up else tensor.name


def _cleaned(config: Any) -> Any:
    """Returns a configuration without initializers and without layers, described separately."""
    if isinstance(config, Mapping):
        if "class_name" in config and isinstance(config.get("config"), Mapping):
            if {"name", "trainable"} <= set(config["config"]):
                return ["layer", config["class_name"]]
            return [config["class_name"], _cleaned(config["config"])]
        return {
            key: _cleaned(item)
            for key, item in config.items()
            if not str(key).endswith("initializer")
        }
    if isinstance(config, (list, tuple)):
        return [_cleaned(item) for item in config]
    return config


def _assets(layer: keras.Layer) -> list[list[str]]:
    """Returns the asset files of a saved layer, such as a vocabulary."""
    if not hasattr(layer, "save_assets"):
        return []
    with tempfile.TemporaryDirectory() as folder:
        layer.save_assets(folder)
        files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        return [
            [str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()]
            for path in files
        ]
