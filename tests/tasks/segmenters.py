"""Small segmenters, such as `--arch=tests.tasks.segmenters:build`, and a folder for them."""

import keras
import numpy as np
from PIL import Image

from ban_tf.datasets import masks, shapes

SIZE = (16, 20)


def build(input_shape, num_classes):
    images = keras.Input(input_shape)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(num_classes, 3, padding="same", activation="softmax")(x)
    return keras.Model(images, x)


def normalized(input_shape, num_classes):
    """Returns a network with batch normalization that is built and traced in a moment."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(num_classes, 3, padding="same"),
        ]
    )


def classifier(input_shape, num_classes):
    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    )


def draw(folder, counts, size=SIZE):
    """Writes drawn shapes as images and masks; returns the masks of the last part."""
    found = shapes.load(size)
    pairs = zip(found.train.images, found.train.labels, strict=True)
    for part, count in counts.items():
        labels = []
        for number in range(count):
            image, mask = next(pairs)
            for inner, content in (("images", image), ("masks", None)):
                file = folder / part / inner / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                if content is None:
                    file.write_bytes(masks.to_png(mask, 4))
                else:
                    Image.fromarray(content).save(file)
            labels.append(mask)
    (folder / "classes.txt").write_text("ground\ndisk\nsquare\ntriangle\n")
    return np.stack(labels)
