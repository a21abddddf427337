"""Models that prepare data in front of `fit`, `evaluate` and `predict`; see `preparation`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from ban_tf.compat import keras_private
from ban_tf.compat.array_batches import as_arrays, as_fed, leaves, map_arrays
from ban_tf.compat.preparation import Preparation
from ban_tf.errors import InputError


def _parts(given: Any, share: float) -> tuple[Any, Any]:
    """Returns the first and the last part of arrays, as `validation_split` divides them."""
    given = as_arrays(given)
    end = int(len(leaves(given)[0]) * (1.0 - share))

    def part(rows: slice) -> Any:
        return map_arrays(given, lambda array: array[rows])

    return part(slice(end)), part(slice(end, None))


if TYPE_CHECKING:
    from keras import Model as _Model  # what `Preparing` is mixed into
else:
    _Model = object


class Preparing(_Model):
    """Prepares data in front of `fit`, `evaluate` and `predict` of a `keras.Model`.

    Only batches that are given one by one, as to `train_on_batch`, and whole data sets pass
    through; called directly, the model takes prepared input.
    """

    @property
    def _predicts_raw(self) -> bool:
        """Whether what `predict` calls next prepares its own input."""
        return False

    def _preparation(self) -> Preparation:
        return Preparation(self)

    def prepared(self, x: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Returns the data of `fit` prepared, if models prepare their own input.

        Args:
            x: As for `fit`; not a Keras adapter.
            options: The arguments of `fit` about the data, such as `y`.

        Returns:
            `x` and the arguments that are left.
        """
        preparation, options = self._preparation(), dict(options)
        if not preparation.needed:
            return x, options
        names = {"y", "sample_weight", "batch_size", "shuffle"} & options.keys()
        return preparation.data(x, **{name: options.pop(name) for name in names}), options

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Trains as `keras.Model.fit` does, on raw data where models prepare their own input."""
        preparation = self._preparation()
        if not preparation.needed:
            return super().fit(x, y, *arguments, **options)
        options = _by_name(keras.Model.fit, self, x, y, *arguments, **options)
        _check_class_weight(options.get("class_weight"), preparation)
        given = (x, y, options.pop("sample_weight", None))
        validation, share = options.get("validation_data"), options.pop("validation_split", 0.0)
        if share and validation is None:
            given, validation = _parts(given, share)
        size = options.pop("batch_size", None)
        shuffle = bool(options.pop("shuffle", True))
        if isinstance(x, keras_private.DataAdapter):
            data = x  # of batches that `prepared` has prepared
        else:
            data = preparation.data(*given, size, shuffle)
        if isinstance(validation, (tuple, list)):
            validation_size = options.pop("validation_batch_size", None) or size
            x, y, weights = keras.utils.unpack_x_y_sample_weight(tuple(validation))
            options["validation_data"] = preparation.data(x, y, weights, validation_size)
        elif validation is not None:
            options["validation_data"] = preparation.data(validation)
        return super().fit(data, shuffle=False, **options)

    # So that arguments can be bound to their names.
    fit.__signature__ = inspect.signature(keras.Model.fit)  # type: ignore[attr-defined]

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Evaluates as `keras.Model.evaluate` does, on raw data likewise."""
        preparation = self._preparation()
        if not preparation.needed or keras_private.is_called_by_fit(options):
            return super().evaluate(x, y, *arguments, **options)
        options = _by_name(keras.Model.evaluate, self, x, y, *arguments, **options)
        given = (x, y, options.pop("sample_weight", None), options.pop("batch_size", None))
        return super().evaluate(preparation.data(*given), **options)

    def predict(self, x: Any, *arguments: Any, **options: Any) -> Any:
        """Predicts as `keras.Model.predict` does, from raw data likewise."""
        preparation = self._preparation().alone
        if not preparation.needed or self._predicts_raw:
            return super().predict(x, *arguments, **options)
        options = _by_name(keras.Model.predict, self, x, *arguments, **options)
        size = options.pop("batch_size", None)
        return super().predict(preparation.data(x, batch_size=size), **options)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one raw batch as `keras.Model.train_on_batch` does."""
        preparation = self._preparation()
        _check_class_weight(class_weight, preparation)
        batch = _one(preparation, x, y, sample_weight)
        return super().train_on_batch(*batch, class_weight=class_weight, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluates one raw batch as `keras.Model.test_on_batch` does."""
        batch = _one(self._preparation(), x, y, sample_weight)
        return super().test_on_batch(*batch, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts from one raw batch as `keras.Model.predict_on_batch` does."""
        return super().predict_on_batch(_one(self._preparation().alone, x)[0])


def _by_name(function: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Returns arguments by their names, without the model and its data."""
    given = inspect.signature(function).bind_partial(*arguments, **options).arguments
    kept = {name: value for name, value in given.items() if name not in ("self", "x", "y")}
    return {**kept, **kept.pop("kwargs", {})}


def _one(preparation: Preparation, *given: Any) -> tuple[Any, Any, Any]:
    if preparation.needed:
        batch = preparation.batch(*as_arrays(given))
        given = keras.utils.unpack_x_y_sample_weight(as_fed(batch))
    return (*given, None, None)[:3]


def _check_class_weight(class_weight: Any, preparation: Preparation) -> None:
    if class_weight is not None and preparation.differs:
        raise InputError(
            "`class_weight` does not reach labels that come with inputs that `teacher` prepares in "
            "its own way; give `sample_weight`."
        )


@keras.saving.register_keras_serializable("ban_tf")
class PreparedModel(Preparing, keras.Model):
    """A Functional model with a preprocessor, as an ensemble of KerasHub's tasks is one.

    Args:
        *args: As for `keras.Model`.
        **kwargs: As for `keras.Model`.

    Attributes:
        preprocessor: A layer or function from raw to prepared input; None if there is nothing to
            be done.
    """

    def __init__(self, *args: Any, **kwargs: Any):  # so named, Keras makes it of its graph again
        super().__init__(*args, **kwargs)
        self.preprocessor: Any = None

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Prepares a batch, labels with it where the preprocessor takes them."""
        call = getattr(self.preprocessor, "call", self.preprocessor)
        if "sample_weight" in inspect.signature(call).parameters:
            return self.preprocessor(x, y=y, sample_weight=sample_weight)
        return keras.utils.pack_x_y_sample_weight(self.preprocessor(x), y, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration, the preprocessor's included."""
        preprocessor = keras.saving.serialize_keras_object(self.preprocessor)
        return {**super().get_config(), "preprocessor": preprocessor}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Rebuilds the model."""
        config = dict(config)
        preprocessor = config.pop("preprocessor")
        model = super().from_config(config, custom_objects)
        model.preprocessor = keras.saving.deserialize_keras_object(preprocessor, custom_objects)
        return model
