"""Records how a run is trained, so that it can only be resumed in the same way.

Recorded are the networks (configuration, graph and constants, not their weights), the arguments of
`Lineage` and `Lineage.fit` that affect the result, and the content of arrays. Left out on purpose:
what may change (the number of generations and of epochs, callbacks, metrics, how steps are
executed), and the content of data that would have to be read: a `tf.data.Dataset`, a generator, or
a function is described by its kind, its specification and its number of batches. Facts that an
earlier version did not record are recorded on resume.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.compat import distribute, fingerprint, outputs
from ban_tf.distillation import teacher_files, teachers
from ban_tf.distillation.student import BornAgainModel
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import RunDirectory

_KEY = "recipe"
_SHOWN = 12  # digits of a hash in a message
_LARGEST = 2**30  # bytes of an array that are hashed; of a larger one, evenly spaced rows
_ARGUMENTS = (
    *("objective", "teacher", "label_weight", "temperature", "keep", "chance"),
    "monitor",
    *("teacher_precision", "share_ends", "seed"),
)
_OF_FIT = ("batch_size", "steps_per_epoch", "shuffle", "class_weight", "sample_weight")
# Arguments of `compile` that do not affect the result.
_FREE = ("metrics", "weighted_metrics", "run_eagerly", "jit_compile", "steps_per_execution")


def of_lineage(arguments: Mapping[str, Any], networks: Mapping[str, keras.Model]) -> dict[str, Any]:
    """Returns the facts about `Lineage` that must be equal on resume.

    Args:
        arguments: By name; those of `BornAgainModel` under "student". Not `first_model`: each
            generation records the weights of its teachers.
        networks: The networks by the arguments that build them.
    """
    defaults = inspect.signature(BornAgainModel.__init__).parameters
    student = {
        name: arguments["student"].get(name, parameter.default)
        for name, parameter in defaults.items()
        if name not in arguments and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    facts = {name: _plain(arguments[name]) for name in _ARGUMENTS}
    facts |= {name: _plain(value) for name, value in student.items()}
    first = teachers.as_teacher(arguments["first_teacher"])
    facts["first_teacher"] = first and _text(f"a teacher {_short(teacher_files.digest(first))}")
    if distribute.replica_count() == 1:  # else a network may have the per-replica batch size
        facts |= {
            name: _text(f"a network {_short(fingerprint.of_model(network, weights=False))}")
            for name, network in networks.items()
        }
    return {**facts, "keras": keras.version()}


def of_fit(
    directory: RunDirectory,
    x: Any,
    fit: Mapping[str, Any],
    epochs: int,
    compile: Callable[[int], Mapping[str, Any]],
) -> dict[str, Any]:
    """Returns the facts about `Lineage.fit` that must be equal on resume.

    Args:
        directory: The run.
        x: As for `fit`.
        fit: Further arguments of `keras.Model.fit`.
        epochs: Epochs of a generation that starts now.
        compile: Returns the arguments of `compile`, given the epochs.
    """
    # A schedule may depend on the epochs, which may change for later generations.
    epochs = directory.metadata.get(_KEY, {}).get("epochs", epochs)
    compiled = {name: value for name, value in compile(epochs).items() if name not in _FREE}
    optimizer = compiled.get("optimizer", "rmsprop")
    if callable(optimizer) and not isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer = optimizer()
    compiled["optimizer"] = keras.optimizers.get(optimizer)
    facts = {"epochs": int(epochs), **{name: _plain(fit.get(name)) for name in _OF_FIT}}
    facts["compile"] = {name: _plain(value) for name, value in compiled.items()}
    data = {"x": x, "y": fit.get("y"), "validation_data": fit.get("validation_data")}
    return {**facts, **{name: _of_data(value) for name, value in data.items()}}


def check_fit(
    directory: RunDirectory | None,
    x: Any,
    fit: Mapping[str, Any],
    epochs: int,
    compile: Callable[[int], Mapping[str, Any]],
    verbose: Any,
) -> None:
    """Checks that data and training are those of the resumed run; see `of_fit`.

    Args:
        directory: The run.
        x: As for `of_fit`, as the further arguments are.
        fit: Further arguments of `keras.Model.fit`.
        epochs: Epochs of a generation that starts now.
        compile: Returns the arguments of `compile`, given the epochs.
        verbose: Whether it is printed what of the data is not compared.

    Raises:
        RunDirectoryError: They are not.
    """
    assert directory is not None
    resumed = agree(directory, of_fit(directory, x, fit, epochs, compile), first=False)
    unknown = not_compared(x, fit.get("validation_data"))
    if resumed and unknown and verbose:
        print(
            f"The run in {directory.path} is resumed; the content of {' and '.join(unknown)} is "
            "not compared, since that requires reading it.",
            flush=True,
        )


def agree(directory: RunDirectory, facts: Mapping[str, Any], *, first: bool) -> bool:
    """Compares facts with those that the run recorded, and records new ones.

    Args:
        directory: The run.
        facts: By name; JSON can hold them.
        first: Whether these are the first facts of this process, which replace those of a run
            that has trained nothing.

    Returns:
        Whether the run is resumed.

    Raises:
        RunDirectoryError: The run recorded other facts.
    """
    before = directory.metadata.get(_KEY) or {}
    resumed = bool(directory.names("generation-"))
    if not resumed:
        before = {} if first else before
        directory.commit(metadata={_KEY: {**before, **facts}})
        return False
    changed = [
        sentence
        for name, value in facts.items()
        if name in before and name not in ("keras", "epochs")
        for sentence in _changes(name, before[name], value)
    ]
    if changed and before.get("keras") != keras.version():
        # Another version describes the same network, optimizer or loss differently.
        changed = [change for change in changed if not change.startswith(_DESCRIBED)]
    if changed:
        raise RunDirectoryError(
            f"{directory.path} holds a run that was trained differently: {'; '.join(changed)}. "
            "Choose another directory, or the former values to resume it."
        )
    directory.commit(metadata={_KEY: {**facts, **before}})
    return True


# Facts that are Keras's description of an object.
_DESCRIBED = ("`build`", "`student_build`", "`compile", "`objective")


def not_compared(x: Any, validation_data: Any) -> list[str]:
    """Returns the names of the arguments whose content is not recorded."""
    data = {"x": x, "validation_data": validation_data}
    return [f"`{name}`" for name, value in data.items() if not _is_read(value)]


def _is_read(data: Any) -> bool:
    leaves = keras.tree.flatten(data)
    return all(leaf is None or hasattr(leaf, "shape") or hasattr(leaf, "iloc") for leaf in leaves)


def _changes(name: str, before: Any, now: Any) -> list[str]:
    if before == now:
        return []
    nested = isinstance(before, dict) and isinstance(now, dict) and "is" not in before
    if nested and before.get("class") == now.get("class"):
        return [
            sentence
            for key in sorted({*before, *now})
            for sentence in _changes(f"{name}.{key}", before.get(key), now.get(key))
        ]
    return [f"`{name}` was {_told(before)} and is now {_told(now)}"]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("is", value.get("class", value)))
    return f"{value:.7g}" if isinstance(value, float) else repr(value)


def _text(text: str) -> dict[str, str]:
    """Marks a description, to tell it from a string that was an argument."""
    return {"is": text}


def _short(digest: str) -> str:
    return digest[:_SHOWN]


def _plain(value: Any) -> Any:
    """Describes an argument for JSON and for messages."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    described = isinstance(value, Mapping) and {"class_name", "config"} <= set(value)
    if described and isinstance(value["config"], Mapping):  # of a function it is the name
        # An object in the configuration of another one.
        config = _without_counted_name(value["config"], value["class_name"])
        value = {"class": value["class_name"], **config}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "shape"):
        return _of_array(value)
    if hasattr(value, "get_config") and not isinstance(value, (type, keras.Model)):
        config = _without_counted_name(value.get_config(), type(value).__name__)
        config = {name: _plain(item) for name, item in config.items()}
        code = _short(fingerprint.of_object(type(value)))
        return {"class": type(value).__name__, **config, "code": code}
    name = getattr(value, "__name__", type(value).__name__)
    return _text(f"{name} {_short(fingerprint.of_object(value))}")


def _without_counted_name(config: Any, class_name: str) -> dict[str, Any]:
    """Returns a configuration without an automatic name of Keras, which differs between runs."""
    name = config.get("name")
    counted = isinstance(name, str) and outputs.is_counted(name, class_name)
    return {key: item for key, item in config.items() if key != "name" or not counted}


def _of_data(data: Any) -> Any:
    """Describes data: arrays by their content, other data by what is known without reading it."""
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, keras.utils.PyDataset):
        arrays = {
            name: _of_array(value)
            for name, value in sorted(vars(data).items())
            if isinstance(value, np.ndarray)
        }
        return {"class": type(data).__name__, "batches": data.num_batches, **arrays}
    if hasattr(data, "element_spec"):
        cardinality = getattr(data, "cardinality", None)
        batches = int(cardinality()) if callable(cardinality) else None
        return {"class": "a data set", "batches": batches, "specification": str(data.element_spec)}
    if isinstance(data, Mapping):
        return {str(name): _of_data(item) for name, item in data.items()}
    if isinstance(data, (list, tuple)):
        return [_of_data(item) for item in data]
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return {str(name): _of_array(data[name]) for name in data.columns}
    if hasattr(data, "shape"):
        return _of_array(data)
    return _text("a function" if callable(data) else f"a {type(data).__name__}")


def _of_array(array: Any) -> dict[str, str]:
    array = np.asarray(array)
    rows = array if array.nbytes <= _LARGEST else array[:: -(-array.nbytes // _LARGEST)]
    content = _short(fingerprint.of_array(rows))
    return _text(f"an array {array.shape} of {array.dtype} with content {content}")
