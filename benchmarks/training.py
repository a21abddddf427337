"""Training steps to time: those of ban_tf, of plain Keras, and of PyTorch, of one network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf import BornAgainModel, architectures
from ban_tf.layers import BatchNormalization, Conv2D
from ban_tf.training import optimizers
from benchmarks import measuring

INPUT_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
Batch = tuple[np.ndarray, np.ndarray]


def random_batch(batch_size: int) -> Batch:
    """Returns random images and labels."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(batch_size, *INPUT_SHAPE)).astype("float32")
    return images, draw.integers(NUM_CLASSES, size=batch_size).astype("int32")


def build(network: str, policy: str = "float32") -> keras.Model:
    """Builds one of our networks, or one of `keras.applications`, by name in a precision."""
    keras.config.set_dtype_policy(policy)
    if hasattr(keras.applications, network):
        return getattr(keras.applications, network)(
            input_shape=INPUT_SHAPE,
            weights=None,
            classes=NUM_CLASSES,
            classifier_activation=None,
        )
    return architectures.build(network, INPUT_SHAPE, NUM_CLASSES)


def with_stock_layers(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` with Keras's own layers and equal weights."""
    stock_of = {
        BatchNormalization: keras.layers.BatchNormalization,
        Conv2D: keras.layers.Conv2D,
    }

    def clone(layer: keras.Layer) -> keras.Layer:
        return stock_of.get(type(layer), type(layer)).from_config(layer.get_config())

    stock = keras.models.clone_model(model, clone_function=clone)
    stock.set_weights(model.get_weights())
    return stock


def arithmetic(model: keras.Model, batch_size: int) -> float:
    """Returns the additions and multiplications of a step's convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            positions = np.prod(layer.output.shape[1:-1], dtype=float)
            once = 2.0 * batch_size * positions * np.prod(layer.kernel.shape)
            # Forward, by the kernel, and by the input where that is no image.
            total += once * (2 if layer.input in model.inputs else 3)
    return total


def keras_step(model: keras.Model) -> Callable[[Iterator], float]:
    """Compiles a network as a Keras user does, and returns what `fit` calls for each batch."""
    return _step(_compile(model, keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)))


def ban_tf_step(
    model: keras.Model, teacher: Any = None, **compile_arguments: Any
) -> Callable[[Iterator], float]:
    """Compiles a network as ban_tf does, and returns what `fit` calls for each batch.

    Args:
        model: The student.
        teacher: As for `BornAgainModel`.
        **compile_arguments: Further arguments for `compile`.
    """
    return _step(compiled(model, teacher, **compile_arguments))


def compiled(model: keras.Model, teacher: Any = None, **compile_arguments: Any) -> BornAgainModel:
    """Returns a student, ready to train; arguments as above."""
    optimizer = optimizers.make_optimizer("sgd", 0.01)
    return _compile(
        BornAgainModel(model, teacher=teacher, objective="kd"), optimizer, **compile_arguments
    )


def stock_model(model: keras.Model) -> keras.Model:
    """Returns a network in stock Keras layers, compiled as a Keras user does."""
    stock = with_stock_layers(model)
    stock.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    return stock


def _compile(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, **compile_arguments: Any
) -> keras.Model:
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
        **{"jit_compile": False, **compile_arguments},
    )
    optimizer.build(model.trainable_variables)
    return model


def _step(model: keras.Model) -> Callable[[Iterator], float]:
    model.make_train_function()
    # Reading the loss waits for the end of the step.
    return lambda batches: float(model.train_function(batches)["loss"])


def repeated(batch: Any) -> Iterator:
    """Returns one batch again and again, as `fit` is given it under TensorFlow."""
    import tensorflow as tf

    return iter(tf.data.Dataset.from_tensors(batch).repeat())


def pytorch_step(
    model: keras.Model, batch: Batch, policy: str, device: str = "cpu", compiles: bool = False
) -> Callable[[], Any]:
    """Returns a training step of the same network in PyTorch, in the layout that suits it best.

    Args:
        model: Our network.
        batch: Images and labels.
        policy: The dtype policy.
        device: Where it trains.
        compiles: Whether `torch.compile` makes one program of the network. The step then
            returns the loss without waiting for it.
    """
    import torch

    network = pytorch_twin(model).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True)
    images = torch.from_numpy(batch[0].transpose(0, 3, 1, 2))
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(batch[1]).long().to(device)
    network = torch.compile(network) if compiles else network
    half = policy == "mixed_bfloat16"

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            logits = network(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.detach() if compiles else loss.item()

    return step


def pytorch_twin(model: keras.Model) -> Any:
    """Returns a PyTorch module of the same layers as a Functional Keras model, freshly drawn.

    Strided convolutions are padded on both sides, as PyTorch's users do it.

    Raises:
        ValueError: A layer has no counterpart here.
    """
    import torch

    def counterpart(layer: keras.Layer) -> Any:
        kind = type(layer).__name__
        if kind == "Conv2D":
            return torch.nn.Conv2d(
                layer.input.shape[-1],
                layer.filters,
                layer.kernel_size,
                layer.strides,
                padding=layer.kernel_size[0] // 2,
                bias=layer.use_bias,
            )
        if kind == "BatchNormalization":
            return torch.nn.BatchNorm2d(layer.input.shape[-1], layer.epsilon, 0.1)
        if kind == "Activation" and layer.activation.__name__ == "relu":
            return torch.nn.ReLU()
        if kind == "AveragePooling2D":
            return torch.nn.AvgPool2d(layer.pool_size)
        if kind == "GlobalAveragePooling2D":
            return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        if kind == "Dense":
            return torch.nn.Linear(layer.input.shape[-1], layer.units)
        if kind in ("Add", "Concatenate"):
            return None
        raise ValueError(f"{layer.name} is a {kind}, which has no PyTorch counterpart here.")

    layers = [layer for layer in model.operations if type(layer).__name__ != "InputLayer"]

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleDict(
                {layer.name: made for layer in layers if (made := counterpart(layer)) is not None}
            )

        def forward(self, images: Any) -> Any:
            values = {id(model.inputs[0]): images}
            for layer in layers:
                (node,) = [call for call in layer._inbound_nodes if call.outputs]
                given = [values[id(tensor)] for tensor in node.arguments.keras_tensors]
                if type(layer).__name__ == "Add":
                    result = sum(given[1:], given[0])
                elif type(layer).__name__ == "Concatenate":
                    result = torch.cat(given, dim=1)
                else:
                    result = self.parts[layer.name](*given)
                values[id(node.outputs[0])] = result
            return values[id(model.outputs[0])]

    return Twin()


def networks(
    description: str,
    measure: Callable[[str, str, int, int], dict[str, Any]],
    describe: Callable[[dict[str, Any]], str],
    *,
    names: Sequence[str],
    precisions: Sequence[str],
    steps: int = 20,
    batch_size: int = 128,
) -> None:
    """Measures the networks in the precisions that the command line names.

    Args:
        description: The benchmark's docstring.
        measure: Given network, precision, steps and batch size, returns what is to be kept.
        describe: Returns it as text.
        names: The networks that are measured by default.
        precisions: The same for dtype policies.
        steps: The same for timed steps.
        batch_size: The same for examples in a step.
    """
    parser = measuring.parser(description, steps=steps, batch_size=batch_size)
    parser.add_argument("--networks", nargs="+", default=names, metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=precisions, metavar="POLICY")
    given = parser.parse_args()
    results = []
    for network in given.networks:
        for policy in given.precisions:
            found = measure(network, policy, given.steps, given.batch_size)
            print(f"{network} {policy}: {describe(found)}", flush=True)
            sizes = {"batch_size": given.batch_size, "steps": given.steps}
            results.append({"network": network, "precision": policy, **sizes, **found})
            measuring.write(given.json, results)
            keras.backend.clear_session()
