"""The 1,797 images of handwritten digits, 8x8, that are part of scikit-learn."""

from __future__ import annotations

import numpy as np

from ban_tf.datasets import resizing
from ban_tf.datasets.image_data import Parts, Reading, Split

_AS_THEY_ARE = Reading()
# The test set does not depend on the seed of a run.
_TEST_FRACTION, _TEST_SEED = 0.2, 20180501


def load(how: Reading = _AS_THEY_ARE) -> Parts:
    """Returns the digits at a size; see `datasets.load`.

    Raises:
        InputError: They do not fit into memory at this size.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bundle = load_digits()
    images = np.round(bundle.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    size = how.image_size or images.shape[1:3]
    images = resizing.fit_arrays(images, size, how.resize, how.channels or 1)
    labels = bundle.target.astype(np.int32)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=_TEST_FRACTION, random_state=_TEST_SEED, stratify=labels
    )
    names = tuple(str(name) for name in bundle.target_names)
    return Parts(Split(images[train], labels[train]), Split(images[test], labels[test]), names)
