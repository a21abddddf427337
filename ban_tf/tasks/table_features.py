"""Raw columns of a table as the numbers that networks take: a Keras model, saved with them.

Keras's `FeatureSpace` gives each column an input of its own and puts their encodings side by side.
The encoders are given to it, since its own do not fit: `float_normalized` turns a missing number
into NaN, there is none for dates, and `string_categorical` keeps its categories beside its
configuration, so that a copy of the model would not have them.

- A number is standardized; a missing one is the mean.
- A category is one-hot, with one more place for all that the training rows do not have; a missing
  one is a category if the training rows lack it, too.
- A date is the number of its day, standardized, and the place in the year and in the week as points
  on a circle, also that in the day where dates have a time; a missing one is all zeros.

Where training rows lack a number or a date, one more place says so. All layers are stock Keras's:
the saved model loads without this package.

Under other backends than TensorFlow, which have no tensors of text, `ColumnFeatures` makes the same
features on the host, and what is saved is the network from features; the run's `columns.json` has
what prepares them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.datasets import table_columns
from ban_tf.datasets.column_features import UNKNOWN, ColumnFeatures
from ban_tf.datasets.table_columns import Column
from ban_tf.errors import InputError

NAME = "columns"
_ON_FEATURES = "_on_features"  # ends the names of models of features
# In float32, Unix seconds within an hour would be a few steps of 128.
_DTYPES = {table_columns.NUMBER: "float64"}
_ROWS = 4096  # at a time
_DIGITS = 15  # of 20240301T123000


def preparation(columns: Sequence[Column]) -> keras.Model | ColumnFeatures:
    """Returns what makes features of columns under the present backend; see `build`."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return build(columns) if on_tensorflow else ColumnFeatures(columns)


def build(columns: Sequence[Column]) -> keras.Model:
    """Returns the model from raw columns to features.

    Args:
        columns: The columns, sorted by their keys.

    Returns:
        A model from a dictionary of inputs `[batch, 1]` by key, float64 or strings (see
        `Column.cells`), to float32 `[batch, features]`.
    """
    space = keras.utils.FeatureSpace(
        {
            column.key: keras.utils.FeatureSpace.feature(
                _dtype(column), _encoder(column), output_mode="float"
            )
            for column in columns
        },
        output_mode="concat",
    )
    # `FeatureSpace` orders its encodings by name, as the columns are.
    return keras.Model(dict(space.get_inputs()), space.get_encoded_features(), name=NAME)


def around(
    features: keras.Model | ColumnFeatures,
    network: keras.Model,
    columns: Sequence[Column],
    *after: Any,
) -> keras.Model:
    """Returns a network together with the preparation of its columns.

    Args:
        features: The result of `preparation`; of `ColumnFeatures`, the result takes features.
        network: A model from features to outputs; the result has its layers and its name.
        columns: The columns.
        *after: Layers for its outputs.
    """
    inputs: Any
    if isinstance(features, ColumnFeatures):
        prepared = inputs = keras.Input(features.output_shape[1:], name="features")
    else:
        inputs = {
            column.key: keras.Input((1,), dtype=_dtype(column), name=column.key)
            for column in columns
        }
        prepared = features(inputs)
    outputs = network(prepared)
    for layer in after:
        outputs = layer(outputs)
    end = _ON_FEATURES if prepared is inputs else f"_on_{NAME}"
    return keras.Model(inputs, outputs, name=f"{network.name}{end}")


def is_whole(model: keras.Model) -> bool:
    """Returns whether `around` built a model; one that loaded without TensorFlow lacks that."""
    return isinstance(model.input, dict) or model.name.endswith(_ON_FEATURES)


def network_of(model: keras.Model) -> keras.Model:
    """Returns the network from features of a model that `around` built, or that network itself.

    Raises:
        InputError: It is another model.
    """
    if not is_whole(model):
        return model
    found = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    networks = [layer for layer in found if layer.name != NAME]
    if len(networks) != 1:
        raise InputError("The model has no single network from the features of a table.")
    return networks[0]


def fed(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns columns as the model takes them; Keras itself has no type for text of NumPy."""
    import tensorflow as tf

    return {key: tf.convert_to_tensor(cells) for key, cells in sorted(inputs.items())}


def encode(
    model: keras.Model | ColumnFeatures,
    inputs: Mapping[str, np.ndarray],
    columns: Sequence[Column] = (),
) -> np.ndarray:
    """Returns the outputs of a model on raw columns for many rows, `[rows, ...]`.

    Args:
        model: The result of `preparation` or of `around`.
        inputs: Of each column by its key, `[rows, 1]`.
        columns: The columns, for a model that takes features.
    """
    if isinstance(model, ColumnFeatures):
        return model.encode(inputs)
    count = len(next(iter(inputs.values())))

    def some(start: int) -> Any:
        rows = {key: cells[start : start + _ROWS] for key, cells in inputs.items()}
        return fed(rows) if isinstance(model.input, dict) else ColumnFeatures(columns).encode(rows)

    found = [model.predict_on_batch(some(start)) for start in range(0, count, _ROWS)]
    shape = (0, *model.output_shape[1:])
    return np.concatenate(found) if found else np.empty(shape, np.float32)


def _dtype(column: Column) -> str:
    return _DTYPES.get(column.kind, "string")


def _encoder(column: Column) -> keras.Model:
    cells = keras.Input((1,), dtype=_dtype(column), name=column.key)
    encode = {
        table_columns.NUMBER: _number,
        table_columns.DATE: _date,
        table_columns.CATEGORY: _category,
    }
    return keras.Model(cells, encode[column.kind](column, cells), name=f"encode_{column.key}")


def _number(column: Column, cells: Any) -> Any:
    missing = ops.isnan(cells)
    scaled = (ops.where(missing, column.mean, cells) - column.mean) / column.std
    return _with_missing(column, [ops.cast(scaled, "float32")], missing)


def _category(column: Column, cells: Any) -> Any:
    return keras.layers.StringLookup(
        vocabulary=[value for value in column.categories if value != UNKNOWN],
        output_mode="one_hot",
        oov_token=UNKNOWN,
        name=f"categories_of_{column.key}",
    )(cells)


def _date(column: Column, cells: Any) -> Any:
    # Stock layers cannot read numbers from strings; the places of digits in an alphabet they can.
    places = keras.layers.TextVectorization(
        standardize="strip_punctuation",
        split="character",
        vocabulary=list("0123456789"),
        output_sequence_length=_DIGITS,
        name=f"digits_of_{column.key}",
    )(cells)
    # In the vocabulary, 0 is padding and 1 is unknown.
    missing = places[:, :1] < 2
    digits = ops.cast(ops.maximum(places - 2, 0), "int32")

    def number(first: int, count: int) -> Any:
        powers = [10 ** (count - 1 - index) for index in range(count)]
        part = digits[:, first : first + count] * ops.convert_to_tensor(powers, "int32")
        return ops.sum(part, axis=-1, keepdims=True)

    year, month, day = number(0, 4), number(4, 2), number(6, 2)
    days = days_since_1970(year, month, day)
    real = [ops.cast(part, "float32") for part in (days, month, day, ops.mod(days + 3, 7))]
    parts = [
        (real[0] - column.mean) / column.std,
        *_on_a_circle((real[1] - 1.0 + (real[2] - 1.0) / 31.0) / 12.0),
        *_on_a_circle(real[3] / 7.0),
    ]
    if column.times:
        hour, minute = number(9, 2), number(11, 2)
        parts += _on_a_circle(ops.cast(60 * hour + minute, "float32") / 1440.0)
    return _with_missing(
        column, [ops.where(missing, ops.zeros_like(part), part) for part in parts], missing
    )


def days_since_1970(year: Any, month: Any, day: Any) -> Any:
    """Returns the number of a day in the Gregorian calendar, all integers of one shape.

    Hinnant, 2013, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
    """
    early = ops.cast(month <= 2, "int32")
    year, month = year - early, month + 12 * early - 3  # years begin in March
    day_of_year = (153 * month + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719468


def _on_a_circle(share: Any) -> list[Any]:
    angle = 2.0 * math.pi * share
    return [ops.sin(angle), ops.cos(angle)]


def _with_missing(column: Column, parts: list[Any], missing: Any) -> Any:
    """Returns parts side by side, and whether the cell is missing if training rows lack some."""
    if column.missing:
        parts = [*parts, ops.cast(missing, "float32")]
    return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
