"""Datasets: images, texts and tables by name, their splits, batches and augmentation.

`names` checks and reads names such as "folder:PATH", `loading` loads images, `text`,
`documents`, `tables` and `segmentation` other data, `pipeline` returns the batches of a run, and
`policies` lists the augmentations.
"""

from ban_tf.datasets.image_data import ImageData, Split
from ban_tf.datasets.loading import load
from ban_tf.datasets.names import check
from ban_tf.datasets.recorded_views import views

__all__ = ["ImageData", "Split", "check", "load", "views"]
