"""A detector in small: a class and a box for each image. The class is distilled, the box is not.

Run as `python examples/several_heads.py`; it takes some seconds on a CPU.
"""

import keras
import numpy as np

import ban_tf

random = np.random.default_rng(0)
SIDE = 12
images = random.uniform(0.0, 0.3, (600, SIDE, SIDE, 1)).astype("float32")
boxes = np.concatenate(
    [random.integers(0, SIDE - 5, (600, 2)), random.integers(3, 6, (600, 2))], axis=1
)
kinds = random.integers(0, 3, 600)
for image, (top, left, height, width), kind in zip(images, boxes, kinds, strict=True):
    part = image[top : top + height, left : left + width, 0]
    part += [1.0, np.eye(height, width), np.arange(width) % 2][kind]  # full, diagonal or striped
labels = {"kind": kinds, "box": (boxes / SIDE).astype("float32")}


def build():
    inputs = keras.Input((SIDE, SIDE, 1))
    hidden = keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    hidden = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(hidden)
    hidden = keras.layers.Dense(32, activation="relu")(keras.layers.Flatten()(hidden))
    return keras.Model(
        inputs,
        {
            "kind": keras.layers.Dense(3, name="kind")(hidden),
            "box": keras.layers.Dense(4, name="box")(hidden),
        },
    )


lineage = ban_tf.Lineage(build, generations=2, objective={"kind": "kd"}, chance=0.4)
lineage.fit(
    images[:400],
    {name: values[:400] for name, values in labels.items()},
    validation_data=(images[400:500], {name: values[400:500] for name, values in labels.items()}),
    epochs=12,
    compile={
        "optimizer": lambda: keras.optimizers.Adam(0.003),
        "loss": {
            "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "box": keras.losses.Huber(delta=0.1),
        },
        "loss_weights": {"kind": 1.0, "box": 20.0},
        "metrics": {"kind": "accuracy", "box": "mae"},
    },
    verbose=0,
)
print(lineage)
ensemble = lineage.ensemble()  # the mean of the probabilities of each kind, and of the boxes
ensemble.save("several_heads.keras")  # one plain Keras model
test = ensemble.predict(images[500:], verbose=0)
