# %% [markdown]
# # Your own Keras model
#
# `BornAgainModel` trains a Keras model of yours with another one as its teacher. `compile` and
# `fit` are those of Keras, and the trained student is a plain Keras model.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import ban_tf

keras.utils.set_random_seed(0)

# %% [markdown]
# Two moons: two classes that no straight line separates.

# %%
random = np.random.default_rng(0)
labels = random.integers(0, 2, 600)
angle = random.uniform(0, np.pi, 600)
points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
points = np.where(labels[:, None] == 0, points, [1.0, 0.5] - points)
points = (points + random.normal(0, 0.2, points.shape)).astype("float32")
plt.scatter(*points.T, c=labels, s=8, cmap="coolwarm")


# %%
def my_model():
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(2),
        ]
    )


def fit(**options):
    model = ban_tf.BornAgainModel(my_model(), **options)
    model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    model.fit(points, labels, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
    return model


# %%
teacher = fit()
student = fit(teacher=teacher.student, objective="kd+labels", temperature=2.0)
for name, model in (("teacher", teacher), ("student", student)):
    print(name, f"validation accuracy {model.history.history['val_accuracy'][-1]:.3f}")

# %% [markdown]
# What each of them gives for the second class, over the plane:

# %%
x, y = np.meshgrid(np.linspace(-1.5, 2.5, 60), np.linspace(-1, 1.5, 40))
plane = np.stack([x.ravel(), y.ravel()], axis=1).astype("float32")
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for axis, name, model in zip(axes, ("teacher", "student"), (teacher, student), strict=True):
    probability = keras.ops.softmax(model.predict(plane, verbose=0))[:, 1]
    axis.contourf(x, y, np.reshape(probability, x.shape), levels=10, cmap="coolwarm")
    axis.set_title(name)

# %% [markdown]
# The student is yours again:

# %%
student.student.save("born_again.keras")
keras.models.load_model("born_again.keras").summary()
