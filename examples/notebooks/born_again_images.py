# %% [markdown]
# # A born-again image classifier
#
# Train a network on handwritten digits, train a fresh copy on the labels and on what the first one
# predicts, and compare the two with their average. It takes some seconds on a CPU, and needs no
# network.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import ban_tf

keras.utils.set_random_seed(0)

# %%
digits = load_digits()
images = digits.images[..., np.newaxis].astype("float32") / 16
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1400], order[1400:]

figure, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for axis, index in zip(axes, train, strict=False):
    axis.imshow(images[index, ..., 0], cmap="gray_r")
    axis.set_title(digits.target[index])
    axis.axis("off")


# %% [markdown]
# ## Generations
#
# A generation is a new network from `build`. Generation 0 learns from the labels, generation 1
# from the labels and from generation 0.


# %%
def build():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


lineage = ban_tf.Lineage(build, generations=1)
lineage.fit(
    images[train],
    digits.target[train],
    epochs=2,
    batch_size=32,
    validation_split=0.1,
    compile={"optimizer": lambda: keras.optimizers.Adam(0.01), "metrics": ["accuracy"]},
)
lineage

# %%
for number in (0, 1):
    rows = [row for row in lineage.history if row["generation"] == number]
    plt.plot([1, 2], [row["val_accuracy"] for row in rows], "o-", label=f"generation {number}")
plt.xticks([1, 2])
plt.xlabel("epoch")
plt.ylabel("validation accuracy")
plt.legend()

# %% [markdown]
# ## The average on images that no network has seen
#
# The title of each picture is its label and, after the arrow, the answer of the average where it
# is wrong.

# %%
ensemble = lineage.ensemble([0, 1])
predicted = ensemble.predict(images[test], verbose=0).argmax(axis=-1)
wrong = test[predicted != digits.target[test]]
accuracy = float(np.mean(predicted == digits.target[test]))
print(f"test accuracy {accuracy:.3f}")

figure, axes = plt.subplots(1, 8, figsize=(8, 1.4))
answers = dict(zip(test, predicted, strict=True))
for axis in axes:
    axis.axis("off")
for axis, index in zip(axes, wrong, strict=False):
    axis.imshow(images[index, ..., 0], cmap="gray_r")
    axis.set_title(f"{digits.target[index]} → {answers[index]}")
