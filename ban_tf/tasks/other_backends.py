"""What only TensorFlow can do: refused under other backends, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from ban_tf.config.options import Options
from ban_tf.distribution import cluster
from ban_tf.errors import InputError

_HOW = "set KERAS_BACKEND=tensorflow"


def check(options: Options) -> None:
    """Checks that Keras's backend can do what the options say.

    Args:
        options: The options of a run.

    Raises:
        InputError: Only TensorFlow can, or the backend is neither TensorFlow nor JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return
    if backend != "jax":
        raise InputError(
            f"KERAS_BACKEND={backend} cannot be used on the command line; set tensorflow or jax."
        )
    for reason in _needing_tensorflow(options):
        raise InputError(f"{reason}; {_HOW}.")


def _needing_tensorflow(options: Options) -> Iterator[str]:
    if options.dataset.startswith(("segmentation:tfds:", "multilabel:tfds:")):
        yield f"--dataset={options.dataset} is read by TensorFlow Datasets, which needs TensorFlow"
    if options.analyse and cluster.several(options):
        yield "--analyse with several workers needs TensorFlow"
    if options.sync_batch_norm:
        yield (
            "--sync_batch_norm needs TensorFlow (with JAX, batch normalization takes the whole "
            "batch without it)"
        )
    if options.threads is not None:
        yield f"--threads={options.threads} needs TensorFlow"
    if options.profile:
        yield "--profile needs TensorFlow"
