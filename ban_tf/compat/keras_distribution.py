"""Fixes for Keras 3 on several replicas and workers.

Keras 3.15's `fit` on TensorFlow, under `tf.distribute`,

1. builds metrics from a batch that it averages over replicas, which fails for shares of unequal
   size and under `MultiWorkerMirroredStrategy` (keras-team/keras#20585), and draws that batch
   from the data: here they are built from the data's specification;
2. takes the mean of scalars over axis 0, which fails on several workers (the same issue), and
   the mean of every replica's own ratios: here replicas add up what their metrics have counted;
3. feeds no placeholder when `steps_per_execution` is more than one (keras-team/keras#19246):
   here that many steps are taken one by one;
4. takes the mean of the means of unequal shares as the loss: see `weighting.mean`;
5. clips gradients, and looks for infinite ones, before replicas add them up: here afterwards;
6. leaves each replica its own moving statistics of batch normalization, so that workers differ:
   here they have the mean, weighted by their shares of the batch.

`DistributedModel` works around all of these; with one replica it is `keras.Model`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ban_tf.compat import distribute, keras_private, weighting
from ban_tf.errors import InputError

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter
    from tensorflow.python.distribute.values import PerReplicaSpec


class LossMean(keras.metrics.Mean):
    """The mean over examples of a loss that is the sum of the replicas' parts."""

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            values: The loss as Keras passes it: times the number of replicas.
            sample_weight: The number of examples of this replica.
        """
        if not distribute.in_replica():
            super().update_state(values, sample_weight)
            return
        share = distribute.share(sample_weight)
        part = ops.cast(values, self.dtype) / distribute.replica_count()
        self.total.assign_add(part * ops.cast(share.total, self.dtype))
        self.count.assign_add(ops.cast(share.size, self.dtype))

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {"name": self.name, "dtype": self.dtype}


class _AcrossReplicas(keras.losses.Loss):
    """A compiled loss whose reduction is over the global batch."""

    def __init__(self, loss: keras.losses.Loss):
        super().__init__(name=loss.name, reduction=loss.reduction, dtype=loss.dtype)
        self.loss = loss

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return weighting.mean(self.loss, y_true, y_pred, sample_weight)


class DistributedModel(keras.Model):
    """A `keras.Model` that trains on several replicas or workers like on one device.

    Build and compile it under `strategy.scope()`. `compute_loss` returns the replica's part of
    the loss, as `weighting.mean` does.

    Attributes:
        building: Whether Keras is building the losses and metrics of `compile`, for which it calls
            `compute_loss` with symbolic tensors.
    """

    building = False
    _loss_tracker: Any  # Keras's

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        if several(self):
            # Imported here, so that one device needs no private names.
            from ban_tf.compat import device_iterators

            device_iterators.end_at_once()

    def train_step(self, *state_and_data: Any) -> Any:
        """Runs Keras's training step on this replica's part of the batch."""
        return self._sharing(super().train_step, *state_and_data, statistics=True)

    def test_step(self, *state_and_data: Any) -> Any:
        """Runs Keras's evaluation step on this replica's part of the batch."""
        return self._sharing(super().test_step, *state_and_data, statistics=False)

    def _sharing(self, step: Callable[..., Any], *state_and_data: Any, statistics: bool) -> Any:
        if not distribute.in_replica():
            return step(*state_and_data)
        (data,) = state_and_data
        size = ops.shape(next(i for i in keras.tree.flatten(data[0]) if i is not None))[0]
        with distribute.sharing(size):
            logs = step(data)
            return {**logs, **_results_of_all(self, _statistics(self) if statistics else [])}

    def _symbolic_build(self, *arguments: Any, **options: Any) -> None:
        self.building = True
        try:
            super()._symbolic_build(*arguments, **options)
        finally:
            self.building = False

    def _make_function(
        self, step_function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Callable[..., Any]:
        if not several(self):
            return super()._make_function(step_function, *arguments, **options)
        return _steps(self, step_function)

    def _autoconvert_optionals(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return self.around_step(super()._autoconvert_optionals(step))

    def around_step(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Returns what TensorFlow's loop calls on each batch: a step, which XLA may compile."""
        return step

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if self._distribute_strategy is None:
            if iterator is not None:
                self._build_ahead(iterator._distributed_dataset.element_spec)
            return
        if iterator is not None:
            self.build_for(iterator._distributed_dataset)
        else:
            self._build_in_scope(data_batch)

    def build_for(self, batches: Any) -> bool:
        """Creates the variables that `fit` creates in its first step, so that they can be restored.

        Args:
            batches: A dataset, distributed or not.

        Returns:
            Whether the model has a strategy; other models create them in their first step.

        Raises:
            InputError: An option is not supported on several replicas.
        """
        if keras_private.strategy_of(self) is None:
            return False
        batches = batches._dataset if isinstance(batches, TFDatasetAdapter) else batches
        if isinstance(batches, tf.data.Dataset):
            batches = self._distribute_strategy.experimental_distribute_dataset(batches)
        specification = batches.element_spec
        self._build_in_scope(keras.tree.map_structure(_of_one_replica, specification))
        return True

    def _build_in_scope(self, data_batch: Any) -> None:
        # Not in `compile`: Keras does not compile loaded models whose class overrides it.
        with self._distribute_strategy.scope():
            if several(self):
                _check(self)
                if not isinstance(self._loss_tracker, LossMean):
                    self._loss_tracker = LossMean(name="loss")
                _sum_before_use(self.optimizer)
            self._symbolic_build(data_batch=self._as_built(data_batch))
            if several(self):
                _average_over_replicas(self._compile_loss)

    def _build_ahead(self, data_batch: Any) -> None:
        """Creates variables that Keras leaves to the first step, given a batch's specification."""

    def _as_built(self, data_batch: Any) -> Any:
        """Returns the batch for which the compiled losses and metrics are built."""
        return data_batch


def several(model: keras.Model) -> bool:
    """Returns whether a model trains on several replicas."""
    strategy = keras_private.strategy_of(model)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def additional_losses(model: keras.Model, size: Any) -> list[Any]:
    """Returns a replica's part of regularization losses and of other losses.

    Args:
        model: A model in a step.
        size: How many examples this replica has.
    """
    if not distribute.in_replica():
        return [model._aggregate_additional_loss(loss) for loss in model.losses]
    once = model._get_regularization_losses()
    means = model.losses[: len(model.losses) - len(once)]
    return [
        *[distribute.scale_to_global_mean(ops.sum(loss), size) for loss in means],
        *[ops.sum(loss) / distribute.replica_count() for loss in once],
    ]


def as_data(dataset: Any) -> Any:
    """Returns a dataset of all epochs in a form that `fit` accepts.

    Args:
        dataset: A `tf.distribute.DistributedDataset`, a `tf.data.Dataset`, or the result of this.
            Under other backends it is returned unchanged.
    """
    if keras.backend.backend() != "tensorflow":
        return dataset
    return dataset if isinstance(dataset, TFDatasetAdapter) else TFDatasetAdapter(dataset)


def _check(model: keras.Model) -> None:
    where = f"under {type(model.distribute_strategy).__name__}"
    if model.jit_compile:
        raise InputError(
            f"`jit_compile` is True, but TensorFlow cannot compile a step with XLA {where}; leave "
            "it out, or use one replica."
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if getattr(optimizer, "gradient_accumulation_steps", None):
        raise InputError(
            f"`gradient_accumulation_steps` is {optimizer.gradient_accumulation_steps}, which "
            f"Keras does not do {where}; use a larger batch on more replicas, or one replica."
        )


def _average_over_replicas(compiled: Any) -> None:
    """Makes the losses of a built `CompileLoss` reduce over the global batch."""
    if compiled is not None:
        compiled._flat_losses = [
            entry if isinstance(entry.loss, _AcrossReplicas) else _across_replicas(entry)
            for entry in compiled._flat_losses
        ]


def _across_replicas(compiled: Any) -> Any:
    return compiled._replace(loss=_AcrossReplicas(compiled.loss))


def _sum_before_use(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer clip, and check for infinities, the sum of all replicas' gradients."""
    if optimizer is None or getattr(optimizer, "_sums_before_use", False):
        return
    apply = optimizer.apply

    def apply_sum(grads: Any, trainable_variables: Any = None) -> None:
        there = [gradient for gradient in grads if gradient is not None]
        summed = iter(distribute.sum_over_replicas(_of_some(there)))
        apply(
            [None if gradient is None else next(summed) for gradient in grads],
            trainable_variables,
        )

    optimizer.apply = apply_sum
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    keras_private.replace(inner, "_all_reduce_sum_gradients", list)
    optimizer._sums_before_use = True


def _of_some(gradients: list[Any]) -> list[Any]:
    """Replaces NaN gradients of replicas without examples by zeros."""

    def numbers() -> list[Any]:
        return [
            gradient
            if isinstance(gradient, tf.IndexedSlices)
            else tf.where(tf.math.is_nan(gradient), tf.zeros_like(gradient), gradient)
            for gradient in gradients
        ]

    share = distribute.known_share()
    return gradients if share is None else tf.cond(share.size > 0, lambda: gradients, numbers)


def _statistics(model: keras.Model) -> list[Any]:
    """Returns variables that layers update on each replica, such as moving means.

    Excludes the states of recurrent layers, which belong to the rows of the batch.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.trainable]
    return [
        variable
        for layer in layers
        if not getattr(layer, "stateful", False)
        for variable in layer._non_trainable_variables
        if variable.aggregation == "none" and keras.backend.is_float_dtype(variable.dtype)
    ]


def _results_of_all(model: keras.Model, statistics: list[Any]) -> dict[str, Any]:
    """Returns the metrics of all replicas, and averages their statistics, in one all-reduce."""
    counted = [
        variable for variable in model.metrics_variables if variable.aggregation in ("sum", "mean")
    ]
    values = [ops.convert_to_tensor(variable) for variable in counted]
    summed = distribute.sum_over_replicas([*values, *_weighted(statistics)])
    for variable, value in zip(statistics, summed[len(counted) :], strict=True):
        variable.assign(value)
    replicas = distribute.replica_count()
    mapping = [
        (variable, value if variable.aggregation == "sum" else value / replicas)
        for variable, value in zip(counted, summed[: len(counted)], strict=True)
    ]
    with keras.StatelessScope(state_mapping=mapping):
        return model.get_metrics_result()


def _weighted(statistics: list[Any]) -> list[Any]:
    if not statistics:
        return []
    share = distribute.share(None)
    part = ops.cast(share.size, "float32") / ops.cast(share.total, "float32")
    # The statistics of a replica without examples may be NaN.
    return [
        ops.where(share.size > 0, ops.cast(value, "float32") * part, 0.0) for value in statistics
    ]


def _of_one_replica(specification: Any) -> Any:
    if isinstance(specification, PerReplicaSpec):
        return specification._value_specs[0]
    return specification


def _steps(model: keras.Model, step_function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a function that runs `steps_per_execution` steps; returns all metrics."""
    strategy = model.distribute_strategy
    step_function = model._autoconvert_optionals(step_function)

    def one_step(data: Any) -> Any:
        outputs = strategy.run(step_function, args=(data,))
        # After the all-reduce all replicas have the same.
        return keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], outputs
        )

    def next_step(iterator: Any) -> Any:
        # In the graph, where workers agree whether any of them has more data.
        return one_step(iterator.get_next())

    if not model.run_eagerly:
        one_step, next_step = (
            tf.function(step, reduce_retracing=True, autograph=False)
            for step in (one_step, next_step)
        )

    def function(iterator: Any) -> Any:
        distributed = isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator))
        logs = None
        for _ in range(model.steps_per_execution):
            try:
                logs = next_step(iterator) if distributed else one_step(next(iterator))
            except (StopIteration, tf.errors.OutOfRangeError):
                if logs is None:
                    raise
                break
        return logs

    return function
