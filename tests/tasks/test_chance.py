"""The accuracy of chance on the validation data of a run."""

import numpy as np
import pytest

from ban_tf.tasks import image_classification


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1], [0, 1, 0]])
def test_too_few_labels_have_no_chance_to_compare_with(labels):
    assert image_classification._chance(np.array(labels, np.int64)) is None


def test_chance_is_above_the_share_of_the_commonest_class():
    chance = image_classification._chance(np.arange(100) % 4)
    assert chance == pytest.approx(0.25 + 1.645 * (0.25 * 0.75 / 100) ** 0.5)
