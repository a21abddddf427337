"""Networks of a backbone and a head: the weights that they start from, and what is frozen.

The head is the last layer with weights, and the backbone is all before it, in a custom network,
too. A fresh network has a fresh head; its backbone has the weights of a file, or those that belong
to its name. Frozen batch normalization is in inference mode, as Keras has it.
"""

from __future__ import annotations

import hashlib
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.architectures import applications
from ban_tf.errors import InputError
from ban_tf.system import shown

if TYPE_CHECKING:
    import keras

NONE = "none"
BACKBONE = "backbone"
_UNTIL = "until:"
# Settings of such a network besides its name, and those that a custom one has.
CUSTOM_SETTINGS = frozenset({"weights", "freeze", "backbone_learning_rate"})
SETTINGS = CUSTOM_SETTINGS | {"dropout"}


def frozen_epochs(freeze: str | None) -> float:
    """Returns for how many epochs the backbone is frozen; infinity for all.

    Args:
        freeze: "backbone", "none" or None, or "until:EPOCH".

    Raises:
        InputError: It is something else.
    """
    if freeze in (None, NONE):
        return 0
    if freeze == BACKBONE:
        return float("inf")
    until, found, number = str(freeze).partition(_UNTIL)
    if found and not until and number.isascii() and number.isdigit() and int(number) > 0:
        return int(number)
    raise InputError(
        f"--freeze={freeze} must be backbone, none, or until:EPOCH with an epoch from 1 on"
    )


def file_of(weights: str | None) -> pathlib.Path | None:
    """Returns the file that `weights` names, if it names one."""
    named = weights not in (None, NONE, applications.IMAGENET)
    return pathlib.Path(weights) if named and weights else None


def digest(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file of weights.

    Raises:
        InputError: It cannot be read.
    """
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                found.update(piece)
    except OSError as error:
        raise InputError(f"--weights={path} cannot be read ({error.strerror})") from error
    return found.hexdigest()


def build(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weights: str | None = None,
    freeze: str | None = None,
    backbone_learning_rate: float | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a network with a pretrained backbone; see `ban_tf.architectures.pretrained`."""
    import keras

    height, width, channels = input_shape
    if channels not in (1, 3):
        raise InputError(
            f"--arch={name} takes images of 3 channels, or of 1; these have {channels}"
        )
    path = file_of(weights)
    if weights == applications.IMAGENET and not name.startswith(applications.KERAS):
        raise InputError(f"--weights={weights}: leave it out for the weights of the preset")
    backbone, prepare = applications.backbone(
        name, (height, width, 3), download=path is None and weights != NONE
    )
    images = keras.Input(input_shape, name="images")
    three = images if channels == 3 else keras.layers.Concatenate()([images] * 3)
    pooled = _pooled(name, backbone(prepare(three)))
    if dropout:
        pooled = keras.layers.Dropout(dropout)(pooled)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="head")(pooled)
    model = keras.Model(images, logits, name=backbone.name)
    start(model, name, path, freeze, backbone_learning_rate)
    return model


def _pooled(name: str, features: Any) -> Any:
    import keras

    if not hasattr(features, "shape") or len(features.shape) not in (2, 3, 4):
        raise InputError(f"--arch={name} is not a backbone of one feature map for each image")
    pooling = {
        2: lambda same: same,
        3: keras.layers.GlobalAveragePooling1D(name="pooling"),
        4: keras.layers.GlobalAveragePooling2D(name="pooling"),
    }
    return pooling[len(features.shape)](features)


def start(
    model: keras.Model,
    name: str,
    weights: pathlib.Path | None,
    freeze: str | None,
    backbone_learning_rate: float | None,
) -> None:
    """Gives a fresh network the weights of its backbone, freezes it, and marks its variables.

    Args:
        model: The network.
        name: Its name, for messages.
        weights: A file of weights for the backbone, or None.
        freeze: As for `frozen_epochs`; until an epoch, `training.freezing` freezes.
        backbone_learning_rate: A multiple of the learning rate; see `training.variable_rates`.

    Raises:
        InputError: The file does not fit.
    """
    if weights is not None:
        for variable, value in zip(body_weights(model), _read(model, name, weights), strict=True):
            variable.assign(value)
    if frozen_epochs(freeze) == float("inf"):
        set_frozen(model, True)
    for variable in body_weights(model):
        variable.learning_rate_factor = backbone_learning_rate or 1.0


def head(model: keras.Model) -> keras.Layer:
    """Returns the last layer of a network that has weights.

    Raises:
        InputError: There is none.
    """
    found = next((layer for layer in reversed(model.layers) if layer.weights), None)
    if found is None:
        raise InputError(f"model {model.name!r} has no layers with weights")
    return found


def body_weights(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights of the backbone: all but those of the head."""
    last = {id(variable) for variable in head(model).weights}
    return [variable for variable in model.weights if id(variable) not in last]


def set_frozen(model: keras.Model, frozen: bool) -> None:
    """Freezes the backbone of a network, or all of it can be trained again."""
    last = head(model)
    for layer in model.layers:
        if layer is not last:
            layer.trainable = not frozen


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns a network's backbone up to its pooled features, and its head (with its dropout).

    Both have the layers of the network.
    """
    import keras

    from ban_tf.compat import keras_private

    features = head(model).input
    while isinstance(keras_private.origin(features).operation, keras.layers.Dropout):
        features = keras_private.origin(features).inputs[0]
    return keras.Model(model.inputs, features), keras.Model(features, model.outputs[0])


def is_fixed(model: keras.Model) -> bool:
    """Returns whether a frozen backbone always gives an image the same features, `[units]`.

    It does not if it draws anything besides dropout, which is off in inference mode, such as a
    layer for augmentation.
    """
    import keras

    from ban_tf.compat import keras_private

    if not getattr(model, "inputs", None) or len(head(model).input.shape) != 2:
        return False
    drawing = (
        layer
        for layer in keras_private.layers_in(model)
        if any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
    )
    return all("drop" in type(layer).__name__.lower() for layer in drawing)


def _read(model: keras.Model, name: str, path: pathlib.Path) -> Sequence[np.ndarray]:
    """Reads the weights of a network's backbone from a file; once for all equal backbones."""
    wanted = tuple((variable.name, tuple(variable.shape)) for variable in body_weights(model))
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"--weights={path} cannot be read ({error.strerror})") from error
    key = (str(path), state.st_size, state.st_mtime_ns, name, wanted)
    if key not in _KEPT:
        values = _from_model(path, name, wanted) if path.suffix == ".keras" else None
        if values is None:
            values = _from_weights(model, path, name)
        if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
            raise InputError(f"--weights={path} has a weight that is NaN or infinite")
        _KEPT.clear()  # one file at a time
        _KEPT[key] = values
    return _KEPT[key]


_KEPT: dict[Any, Sequence[np.ndarray]] = {}


def _from_model(path: pathlib.Path, name: str, wanted: tuple) -> list[np.ndarray]:
    """Finds the backbone in a saved model, by the names and shapes of its weights in their order.

    What is before and behind it, such as another head, is left out.
    """
    import keras

    try:
        saved = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise many kinds
        raise InputError(
            f"--weights={path} could not be read as a Keras model: {shown.first_line(error)}"
        ) from error
    found = [(variable.name, tuple(variable.shape)) for variable in saved.weights]
    for first in range(len(found) - len(wanted) + 1):
        if tuple(found[first : first + len(wanted)]) == wanted:
            chosen = saved.weights[first : first + len(wanted)]
            return [keras.ops.convert_to_numpy(variable) for variable in chosen]
    raise InputError(
        f"--weights={path} holds {saved.name!r}, which has no part with the {len(wanted)} weights "
        f"of the backbone of --arch={name}"
    )


def _from_weights(model: keras.Model, path: pathlib.Path, name: str) -> list[np.ndarray]:
    """Reads a `.weights.h5` file, of the backbone alone or of a network of it and some head."""
    import keras

    without_head = keras.Model(model.inputs, head(model).input)
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    body = body_weights(model)
    said = ""
    for part in [*nested, without_head]:
        for variable in body:  # so that it shows which ones Keras has passed over
            variable.assign(np.full(variable.shape, _UNSET, variable.dtype))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                part.load_weights(path)
        except Exception as error:  # Keras and h5py raise many kinds
            said = said or shown.first_line(error)
            continue
        values = [keras.ops.convert_to_numpy(variable) for variable in body]
        if not any(np.all(value == _UNSET) for value in values):
            return values
    raise InputError(
        f"--weights={path} does not hold the weights of the backbone of --arch={name}"
        + (f": {said}" if said else "")
    )


_UNSET = -123456.0
