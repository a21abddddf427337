"""A born-again image classifier on your own arrays: two generations, and their ensemble.

Run as `python examples/born_again_images.py`; it takes some seconds on a CPU, and writes
`born_again.keras` and `ensemble.keras`, which load without ban_tf.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import ban_tf

digits = load_digits()
images = digits.images[..., np.newaxis].astype("float32") / 16  # [1797, 8, 8, 1]
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]


def build():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


# By default ("kd+labels") a generation learns from the labels and the outputs of the one before.
lineage = ban_tf.Lineage(build, generations=2)
lineage.fit(
    images[train],
    digits.target[train],
    epochs=8,
    batch_size=64,
    validation_split=0.1,
    callbacks=[keras.callbacks.ReduceLROnPlateau("val_accuracy", patience=2)],
    compile={"optimizer": lambda: keras.optimizers.Adam(0.01), "metrics": ["accuracy"]},
)

for row in lineage.history[7::8]:
    print(f"generation {row['generation']}: validation accuracy {row['val_accuracy']:.3f}")
lineage.model(2).save("born_again.keras")
ensemble = lineage.ensemble()
ensemble.save("ensemble.keras")
predicted = ensemble.predict(images[test], verbose=0).argmax(axis=-1)
accuracy = float(np.mean(predicted == digits.target[test]))
print(f"ensemble: test accuracy {accuracy:.3f}")
