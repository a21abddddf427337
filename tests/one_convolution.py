"""A network of one convolution, for runs whose claims do not depend on the network.

`ARCH` is a value of `--arch` in this process, and in one whose folder has a copy of this file.
"""

import keras

ARCH = "one_convolution:network"


def network(input_shape, num_classes):
    """Returns a network with batch normalization that is built and traced in a moment."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(num_classes, dtype="float32"),  # also where others are bfloat16
        ]
    )
