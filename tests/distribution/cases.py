"""Trainings that must come out alike on one device, several replicas and several workers.

Run as a program, it does some of them on one or several logical CPU devices, or as one of several
workers, and writes what came out: `python cases.py OUT.npz DEVICES|workers NAME...`.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import ban_tf
from ban_tf.layers import BatchNormalization

CLASSES = 4
layers = keras.layers


def split_processor(count):
    """Makes several logical devices of the processor, before TensorFlow starts."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * count
    )


def data(examples, shape=(6,)):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(examples, *shape)).astype("float32")
    return x, generator.integers(0, CLASSES, examples)


def network(seed=0, normalize=None, **hidden):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(
                8, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01), **hidden
            ),
        ]
    )
    if normalize:
        model.add(normalize())
    model.add(layers.Dense(CLASSES, dtype="float32"))
    return model


def student(objective="kd", build=network, teachers=1, compile=None, optimizer=None):
    teacher = [network(seed=1 + index) for index in range(teachers)]
    model = ban_tf.BornAgainModel(build(), teacher=teacher, objective=objective)
    optimizer = optimizer or {}
    model.compile(
        keras.optimizers.SGD(0.2, momentum=0.9, **optimizer),
        **{"weighted_metrics": ["accuracy"], **(compile or {})},
    )
    return model


def trained(model, x, y, batch_size=8, epochs=2, **fit):
    """Trains, with validation on examples that do not divide; returns arrays by name."""
    steps_seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps_seen.append(logs["loss"])
    )
    history = model.fit(
        x, y, batch_size=batch_size, epochs=epochs, shuffle=True, verbose=0,
        validation_data=data(11), callbacks=[watch], **fit,
    ).history  # fmt: skip
    found = {f"history/{name}": np.array(values) for name, values in history.items()}
    found["steps"] = np.array(steps_seen)
    for index, weight in enumerate(model.student.get_weights()):
        found[f"weights/{index}"] = weight
    return found


def masked():
    """A network over sequences of which some are padded, so that replicas' masks differ."""
    generator = np.random.default_rng(0)
    x = generator.integers(1, 9, (18, 5))
    for row, length in enumerate(generator.integers(1, 6, 18)):
        x[row, length:] = 0

    def build(seed=0):
        keras.utils.set_random_seed(seed)
        return keras.Sequential(
            [keras.Input((5,)), layers.Embedding(9, 6, mask_zero=True), layers.Dense(CLASSES)]
        )

    model = ban_tf.BornAgainModel(build(), teacher=build(1), objective="kd+labels")
    model.compile(
        keras.optimizers.SGD(0.5), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    y = generator.integers(0, CLASSES, (18, 5))
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False).history
    found = {f"history/{name}": np.array(values) for name, values in history.items()}
    return found | {f"weights/{i}": weight for i, weight in enumerate(model.student.get_weights())}


def void(objective, **options):
    """Positions without a label, of which replicas have different numbers."""
    x, y = data(13)
    y[[0, 1, 2, 9]] = 9
    model = ban_tf.BornAgainModel(network(), network(1), objective, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=9)
    model.compile(keras.optimizers.SGD(0.2), loss)
    return trained(model, x, y)


def unlabeled():
    """Examples with the label -1, for the label cross-entropy that needs no compiled loss."""
    x, y = data(13)
    y[[0, 1, 2, 9]] = -1
    model = student("dkd+labels")
    return trained(model, x, y)


def unlabeled_with_loss():
    """The same with a compiled loss that knows of them, and a metric that leaves them out."""
    x, y = data(13)
    y[[0, 1, 2, 9]] = -1
    model = ban_tf.BornAgainModel(network(), network(1), "kd+labels")
    loss = ban_tf.objectives.LabelCrossEntropy()
    model.compile(keras.optimizers.SGD(0.2), loss, weighted_metrics=["accuracy"])
    return trained(model, x, y)


def adding(seed=0):
    """A network whose layers add losses of their own."""
    return network(seed, activity_regularizer=keras.regularizers.L2(0.1))


def normalized(seed=0):
    return network(seed, normalize=lambda: BatchNormalization(synchronized=True, momentum=0.9))


def softmax(seed=0):
    model = network(seed)
    return keras.Sequential([*model.layers, layers.Softmax()])


def weighted():
    x, y = data(13)
    weights = np.linspace(0.1, 2.0, 13).astype("float32")
    return trained(student("cwtm"), x, y, sample_weight=weights)


def weighted_by_term():
    x, y = data(13)
    weights = np.linspace(0.1, 2.0, 13).astype("float32")
    teacher = [(network(seed=1), 0.7), (network(seed=2), 0.3)]
    model = ban_tf.BornAgainModel(network(), teacher, "cwtm+labels")
    model.compile(keras.optimizers.SGD(0.2), weighted_metrics=["accuracy"])
    return trained(model, x, y, sample_weight={"labels": weights, "teacher": weights[::-1].copy()})


def locally_normalized(seed=0):
    return network(seed, normalize=BatchNormalization)


def features():
    term = keras.distillation.FeatureDistillation("mse", "hidden", "hidden")

    def build(seed=0):
        return network(seed, name="hidden")

    model = ban_tf.BornAgainModel(
        build(), teacher=build(1), objective="cwtm", distillation_losses=[(term, 0.5)]
    )
    model.compile(keras.optimizers.SGD(0.2))
    return trained(model, *data(13))


def half():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return trained(student("kd+labels"), *data(13))
    finally:
        keras.config.set_dtype_policy("float32")


def recorded():
    x, y = data(13)
    logits = network(seed=1)(x).numpy()
    model = ban_tf.BornAgainModel(network(), teacher=ban_tf.RecordedTeacher(), objective="dkpp")
    model.compile(keras.optimizers.SGD(0.2), weighted_metrics=["accuracy"])
    return trained(model, x, {"labels": y, "teacher_logits": logits})


def annealed():
    """Weights and temperature that a callback and a schedule change while training."""

    class Anneal(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.label_weight, self.model.temperature = 0.5 * batch, 1.0 + batch

    model = student()
    model.teacher_weight = lambda epoch: 1.0 - 0.5 * epoch
    x, y = data(21)
    history = model.fit(
        x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, callbacks=[Anneal()]
    )
    found = {f"history/{name}": np.array(values) for name, values in history.history.items()}
    return found | {f"weights/{i}": weight for i, weight in enumerate(model.student.get_weights())}


CASES = {
    "kd": lambda: trained(student(), *data(16)),
    "cwtm": lambda: trained(student("cwtm"), *data(13)),
    "dkpp": lambda: trained(student("dkpp+labels"), *data(13)),
    "first-batch": lambda: trained(student("kd+labels"), *data(7), batch_size=7),
    "fewer-than-replicas": lambda: trained(student("kd+labels"), *data(9)),
    "one-example": lambda: trained(student("kd+labels"), *data(1), batch_size=1),
    "compiled-loss": lambda: trained(
        student("kd+labels", softmax, compile={"loss": "sparse_categorical_crossentropy"}),
        *data(13),
    ),
    "weights": weighted,
    "weights-by-term": weighted_by_term,
    "annealed": annealed,
    "masks": masked,
    "added-losses": lambda: trained(student(build=adding), *data(13)),
    "features": features,
    "void-cwtm": lambda: void("cwtm+labels"),
    "unlabeled-with-loss": unlabeled_with_loss,
    "void-kd": lambda: void("kd+labels", distill_void=False),
    "unlabeled": unlabeled,
    "several-steps": lambda: trained(student(compile={"steps_per_execution": 2}), *data(40)),
    "steps-left-over": lambda: trained(student(compile={"steps_per_execution": 2}), *data(33)),
    "clipping": lambda: trained(student(optimizer={"global_clipnorm": 0.05}), *data(13)),
    "float16": half,
    "batch-norm": lambda: trained(student(build=normalized), *data(12)),
    "local-batch-norm": lambda: trained(student(build=locally_normalized), *data(9)),
    "ensemble": lambda: trained(student(teachers=2), *data(13)),
    "recorded": recorded,
    "eager": lambda: trained(student(compile={"run_eagerly": True}), *data(9), epochs=1),
}  # fmt: skip


def stock(examples, **compile):
    """What `keras.Model.fit` makes of the same, or that it fails."""
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.2), loss=loss, **compile)
    try:
        model.fit(*data(examples), batch_size=8, verbose=0, shuffle=False)
    except Exception as error:
        return {"failed": np.array(True), "error": np.array(repr(error)[:300])}
    return {"failed": np.array(False), "weights": model.get_weights()[-1]}


CASES["stock-first-batch"] = lambda: stock(7)
CASES["stock-last-batch"] = lambda: stock(9)
CASES["stock-several-steps"] = lambda: stock(32, steps_per_execution=2)


def strategy_of(count):
    """The number of replicas and their strategy; a process can have one with several."""
    if count == "workers":  # whose place TF_CONFIG tells
        return 2, tf.distribute.MultiWorkerMirroredStrategy()
    if count == "1":
        return 1, tf.distribute.get_strategy()
    split_processor(int(count))
    return int(count), tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(int(count))])


def main(out, count, *names):
    found = {}
    replicas, strategy = strategy_of(count)
    for name in names:
        keras.utils.set_random_seed(0)
        with strategy.scope():
            arrays = CASES[name]()
        found |= {f"{name}/{replicas}/{part}": array for part, array in arrays.items()}
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
