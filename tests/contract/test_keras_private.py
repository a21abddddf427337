"""The private names of Keras that we rely on exist, and do what we rely on."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from keras.src.losses.loss import Loss
from keras.src.losses.losses import LossFunctionWrapper
from tensorflow.python.data.ops import multi_device_iterator_ops
from tensorflow.python.distribute.values import PerReplicaSpec

from ban_tf.compat import keras_distribution, keras_private, masks


def _functional():
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    return keras.Model(inputs, {"a": keras.layers.Dense(2, name="a")(hidden), "b": hidden})


def test_the_origin_of_a_tensor_is_its_layer_and_what_it_was_given():
    model = _functional()
    operation, inputs, index = keras_private.origin(model.output["a"])
    assert operation is model.get_layer("a")
    assert index == 0
    assert inputs == [model.get_layer("hidden").output]
    assert keras_private.origin(inputs[0]).inputs == [model.input]


def test_calls_are_those_of_the_graph():
    model = _functional()
    hidden = model.get_layer("hidden")
    hidden(keras.Input((3,)))  # outside the graph
    assert len(keras_private.calls(hidden)) == 2
    names = sorted(node.operation.name for node in keras_private.all_calls(model))
    assert names == ["a", "hidden", "x"]


def test_the_graph_of_a_model_is_run_by_a_call_of_each_operation():
    model, called = _functional(), []

    def call(operation, *arguments, **options):
        called.append(operation.name)
        return operation(*arguments, **options)

    for inputs in (keras.Input((3,)), np.ones((2, 3), "float32")):
        found = keras_private.run_graph(model, [inputs], call)
        assert called == ["hidden", "a"] and set(found) == {"a", "b"}
        called.clear()
    np.testing.assert_array_equal(found["a"], model(np.ones((2, 3), "float32"))["a"])


def test_layers_are_found_at_any_depth():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="deep")])
    outer = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(2, name="top")])
    names = {layer.name for layer in keras_private.layers_in(outer)}
    assert {"deep", "top", inner.name} <= names
    assert outer.name not in names


def test_functional_models_are_distinguished_from_others_and_keep_their_structure():
    model = _functional()
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert keras_private.is_functional(model)
    assert set(keras_private.output_structure(model)) == {"a", "b"}
    assert not keras_private.is_functional(sequential)
    assert keras_private.output_structure(sequential) is None
    assert keras_private.is_functional(keras_private.functional_of(sequential))
    assert keras_private.functional_of(model) is model


def test_the_learning_rate_is_the_schedule_or_the_variable():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_private.learning_rate(keras.optimizers.SGD(schedule)) is schedule
    variable = keras_private.learning_rate(keras.optimizers.SGD(0.25))
    assert float(ops.convert_to_numpy(variable)) == 0.25


@pytest.mark.parametrize("wrap", [lambda own: own, keras.optimizers.LossScaleOptimizer])
def test_an_optimizer_counts_the_gradients_that_it_accumulates(wrap):
    assert keras_private.accumulation_steps(wrap(keras.optimizers.SGD(0.1))) is None
    optimizer = wrap(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    assert keras_private.accumulation_steps(optimizer) == 2
    variable = keras.Variable(np.zeros(2, "float32"))
    for count in range(3):
        if count:
            assert int(keras_private.applied_gradients(optimizer)) == count
        optimizer.apply([ops.ones(2)], [variable])
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("frequency", "expected"), [(1, [True] * 4), (2, [False, True] * 2), ([1, 4], [1, 0, 0, 1])]
)
def test_validation_follows_its_frequency(frequency, expected):
    found = [keras_private.validates(_functional(), epoch, frequency) for epoch in range(4)]
    assert [bool(entry) for entry in found] == [bool(entry) for entry in expected]


def test_validation_is_split_off_at_the_end():
    x, y = np.arange(10), np.arange(10) * 2
    (train_x, train_y), (test_x, test_y) = keras_private.split_off_validation((x, y), 0.2)
    np.testing.assert_array_equal(train_x, x[:8])
    np.testing.assert_array_equal(test_x, x[8:])
    np.testing.assert_array_equal(train_y, y[:8])
    np.testing.assert_array_equal(test_y, y[8:])


def test_an_adapter_counts_batches():
    adapter = keras_private.data_adapter(np.zeros((10, 3)), batch_size=4)
    assert isinstance(adapter, keras_private.DataAdapter)
    assert adapter.num_batches == 3


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            keras.Model,
            (
                *("_symbolic_build", "_should_eval", "_get_regularization_losses"),
                *("_flatten_layers", "_aggregate_additional_loss", "_compute_loss"),
                *("_make_function", "_maybe_symbolic_build", "_autoconvert_optionals"),
            ),
        ),
        (keras.layers.Layer, ("_flatten_layers",)),
        (Loss, ("call",)),
    ],
)
def test_methods_that_we_override_or_call_exist(owner, names):
    for name in names:
        assert callable(inspect.getattr_static(owner, name)), name


def test_compiled_losses_and_metrics_are_where_we_look_for_them():
    model = _functional()
    model.compile(loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    assert model._compile_loss is not None
    assert model._compile_metrics is not None
    assert model._loss_tracker.name == "loss"
    assert model._compile_loss.metrics == []  # until it is built


def test_kept_logits_are_what_went_into_a_softmax_or_sigmoid():
    x = ops.convert_to_tensor([[1.0, 2.0]])
    for activation in (keras.activations.softmax, keras.activations.sigmoid):
        np.testing.assert_array_equal(keras_private.kept_logits(activation(x)), x)
        layer = keras.layers.Activation(activation)
        np.testing.assert_array_equal(keras_private.kept_logits(layer(x)), x)
    assert keras_private.kept_logits(x) is None
    kept = ops.convert_to_tensor([[0.3, 0.7]])
    keras_private.keep_logits(kept, x)
    loss = keras.losses.categorical_crossentropy([[0.0, 1.0]], kept)
    expected = keras.losses.categorical_crossentropy([[0.0, 1.0]], x, from_logits=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_masks_are_kept_with_tensors_where_losses_find_them():
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(np.array([[1, 0]]))
    np.testing.assert_array_equal(masks.mask_of(embedded), [[True, False]])
    output = masks.with_mask(ops.zeros((1, 2, 1)), ops.convert_to_tensor([[True, False]]))
    assert masks.mask_of(ops.zeros((1, 2))) is None
    loss = keras.losses.MeanAbsoluteError()(ops.convert_to_tensor([[[1.0], [5.0]]]), output)
    assert float(loss) == pytest.approx(1.0)


def test_losses_and_metrics_of_keras_are_distinguished_from_other_functions():
    assert keras_private.is_of_keras(keras.losses.mean_squared_error, "losses")
    assert keras_private.is_of_keras(keras.metrics.categorical_accuracy, "metrics")
    assert not keras_private.is_of_keras(keras.metrics.categorical_accuracy, "losses")
    assert not keras_private.is_of_keras(_functional, "losses", "metrics")


def test_what_compile_makes_is_known_before_and_after_it():
    model = _functional()
    assert keras_private.compiled_loss(model) is None
    assert keras_private.compiled_metrics(model) is None
    model.compile("sgd", loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    assert set(keras_private.compile_arguments(model)) >= {"optimizer", "loss", "metrics"}
    assert keras_private.compile_arguments(model)["loss"] == {"a": "mse", "b": "mae"}
    x, y = np.ones((4, 3)), {"a": np.ones((4, 2)), "b": np.ones((4, 4))}
    model.evaluate(x, y, verbose=0)
    names = {metric.name for metric in keras_private.compiled_loss(model).metrics}
    assert names == {"a_loss", "b_loss"}
    assert "a_mae" in keras_private.compiled_metrics(model).result()


class Evaluated(keras.Sequential):
    def evaluate(self, *arguments, **options):
        self.by_fit = keras_private.is_called_by_fit(options)
        return super().evaluate(*arguments, **options)


def test_the_validation_of_fit_is_distinguished_from_evaluate():
    model = Evaluated([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 3)), np.ones((4, 1))
    model.fit(x, y, validation_data=(x, y), verbose=0)
    assert model.by_fit
    model.evaluate(x, y, verbose=0)
    assert not model.by_fit


class Given(keras.Model):
    def call(self, inputs):
        self.given = type(inputs)
        return ops.zeros((1, 1))


def test_inputs_reach_call_as_they_were_given():
    model = Given()
    model(np.ones((1, 1)))
    assert model.given is not np.ndarray
    model = Given()
    keras_private.take_inputs_as_given(model)
    model(np.ones((1, 1)))
    assert model.given is np.ndarray
    model("text")
    assert model.given is str


def test_only_an_attribute_that_exists_is_replaced():
    model = _functional()
    keras_private.replace(model, "_convert_input_args", True)
    assert model._convert_input_args
    with pytest.raises(AttributeError, match="_no_such_name"):
        keras_private.replace(model, "_no_such_name", True)


def test_losses_that_take_the_place_of_those_of_layers():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_regularizer="l2")])
    assert len(model.losses) == len(model._get_regularization_losses()) == 1
    vars(model)["_losses_override"] = [1.0, 2.0]
    assert model.losses == [1.0, 2.0]


def test_a_loss_keeps_the_arguments_of_its_function():
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert isinstance(loss, LossFunctionWrapper)
    assert loss._fn_kwargs["from_logits"] is True


def test_layers_keep_what_only_they_change():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    assert layer._non_trainable_variables == [layer.moving_mean, layer.moving_variance]
    dropout = keras.layers.Dropout(0.5, seed=3)
    assert dropout._seed_generators == [dropout.seed_generator]


def test_optimizers_and_built_losses_have_what_several_replicas_replace():
    assert callable(keras.optimizers.SGD()._all_reduce_sum_gradients)
    model = _functional()
    model.compile("sgd", loss={"a": "mse", "b": "mae"})
    model.evaluate(np.ones((4, 3)), {"a": np.ones((4, 2)), "b": np.ones((4, 4))}, verbose=0)
    flat = model._compile_loss._flat_losses
    replaced = flat[0]._replace(loss=None)
    assert [isinstance(entry.loss, Loss) for entry in flat] == [True, True]
    assert replaced.loss is None


class Built(keras_distribution.DistributedModel):
    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(1)

    def call(self, inputs):
        return self.layer(inputs)

    def compute_loss(self, *arguments, **options):
        self.seen = [*getattr(self, "seen", []), self.building]
        return super().compute_loss(*arguments, **options)


def test_a_model_knows_when_keras_builds_what_was_compiled():
    data = tf.data.Dataset.from_tensors((np.ones((4, 3)), np.ones((4, 1))))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = Built()
        model.compile("sgd", "mse", metrics=["mae"])
    assert keras_private.strategy_of(model) is not None
    assert keras_private.strategy_of(_functional()) is None
    assert model.build_for(data)
    assert model.seen == [True]
    model.fit(data, verbose=0)
    assert model.seen[1:] and not any(model.seen[1:])


def test_data_sets_over_replicas_show_the_batches_of_one():
    adapter = keras_distribution.as_data(tf.data.Dataset.range(3))
    assert isinstance(adapter._dataset, tf.data.Dataset)
    spec = tf.TensorSpec((None, 3))
    several = PerReplicaSpec(spec, spec)
    assert keras_distribution._of_one_replica(several) == spec
    assert keras_distribution._of_one_replica(spec) == spec


def test_tensorflow_has_the_names_that_are_replaced_for_several_devices():
    assert callable(multi_device_iterator_ops._create_device_dataset)
    assert inspect.isclass(multi_device_iterator_ops.OwnedMultiDeviceIterator)


def test_functions_of_a_graph_are_found_by_name():
    @tf.function
    def inner(x):
        return x + 1.0

    @tf.function
    def outer(x):
        return inner(x)

    graph = outer.get_concrete_function(tf.TensorSpec((2,))).graph
    call = next(operation for operation in graph.get_operations() if "Call" in operation.type)
    function = graph._get_function(call.get_attr("f").name)
    assert [tensor.shape for tensor in function.graph.outputs] == [(2,)]
    assert graph._get_function("no such function") is None


def test_the_inputs_of_a_functional_model_keep_their_structure():
    first, second = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model({"a": first, "b": second}, first + second)
    assert set(model._inputs_struct) == {"a", "b"}
    assert isinstance(model, keras.Function)
    assert not isinstance(keras.Sequential([keras.layers.Dense(1)]), keras.Function)


def test_numbers_are_counted_before_they_are_allocated():
    layers = [keras.Input((4,)), keras.layers.Dense(10), keras.layers.BatchNormalization()]
    model = keras.Sequential(layers)
    config = model.to_json()
    assert keras_private.count_numbers(config) == model.count_params()
    huge = config.replace('"units": 10,', '"units": 1000000000000,')
    assert keras_private.count_numbers(huge) == 5 * 10**12 + 40
    assert keras_private.count_numbers("{}") == 0
    assert keras.models.model_from_json(config).count_params() == model.count_params()


def test_what_is_around_the_step_on_a_batch_may_be_overridden():
    class Watched(keras.Sequential):
        seen = 0

        def _autoconvert_optionals(self, step):
            step = super()._autoconvert_optionals(step)

            def watched(data):
                self.seen += 1  # in the graph, or from Keras 3.16 on for each batch
                return step(data)

            return watched

    model = Watched([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=True)
    model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
    assert model.seen
