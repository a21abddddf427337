"""A model with two inputs and two outputs: one learns from a teacher, the other from labels.

Run as `python examples/two_inputs.py`; it takes some seconds on a CPU.
"""

import keras
import numpy as np

import ban_tf

random = np.random.default_rng(0)
examples = {
    "measured": random.normal(size=(600, 5)).astype("float32"),
    "shop": random.integers(0, 4, (600, 1)),
}
score = examples["measured"].sum(axis=-1) + examples["shop"][:, 0]
labels = {"kind": np.digitize(score, [0.0, 2.0, 4.0]), "amount": score[:, np.newaxis]}


def build():
    measured = keras.Input((5,), name="measured")
    shop = keras.Input((1,), dtype="int32", name="shop")
    place = keras.layers.Flatten()(keras.layers.Embedding(4, 3)(shop))
    hidden = keras.layers.Dense(32, activation="relu")(
        keras.layers.Concatenate()([measured, place])
    )
    return keras.Model(
        {"measured": measured, "shop": shop},
        {
            "kind": keras.layers.Dense(4, name="kind")(hidden),
            "amount": keras.layers.Dense(1, name="amount")(hidden),
        },
    )


teacher = build()
teacher.compile(
    keras.optimizers.Adam(0.01),
    {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "amount": "mse"},
)
teacher.fit(examples, labels, epochs=10, verbose=0)

student = ban_tf.BornAgainModel(build(), teacher=teacher, objective={"kind": "kd"})
student.compile(
    keras.optimizers.Adam(0.01),
    {"kind": None, "amount": "mse"},  # the kind is learned from the teacher alone
    loss_weights={"kind": 0.0, "amount": 0.1},
    metrics={"kind": "accuracy", "amount": "mae"},
)
student.fit(examples, labels, epochs=10, validation_split=0.2, verbose=2)
student.student.save("two_inputs.keras")  # a plain Keras model
