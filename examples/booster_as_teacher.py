"""A booster of scikit-learn teaches a small network, and the network a born-again one.

The first part needs no TensorFlow: it may run in a process, or on a machine, of its own.
Run as `python examples/booster_as_teacher.py`; it takes some seconds on a CPU.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier

import ban_tf

bundle = load_digits()
images, labels = bundle.images.astype("float32"), bundle.target
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]
flat = images.reshape(len(images), -1)

booster = HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=15, random_state=0)
booster.fit(flat[train], labels[train])
# A row of pixels has the same key as the image.
ban_tf.record(
    booster.predict_proba, flat[train], "recordings/booster", class_names=list("0123456789")
)

# From here on, the booster is not needed.
import keras  # noqa: E402
from keras import layers  # noqa: E402


def build():
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            layers.Rescaling(1 / 16),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


lineage = ban_tf.Lineage(
    build, generations=1, first_teacher=ban_tf.RecordedTeacher("recordings/booster")
)
lineage.fit(
    images[train],
    labels[train],
    epochs=10,
    batch_size=64,
    compile={"optimizer": "adam", "metrics": ["accuracy"]},
    verbose=0,
)
print(lineage)
predicted = [lineage.model(number).predict(images[test], verbose=0) for number in (0, 1)]
accuracies = [float(np.mean(one.argmax(axis=-1) == labels[test])) for one in predicted]
print("booster", booster.score(flat[test], labels[test]), "networks", accuracies)
