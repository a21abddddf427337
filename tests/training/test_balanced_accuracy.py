"""The metric against scikit-learn, and the choice of an epoch by it."""

import numpy as np
import pytest
from sklearn import metrics

from ban_tf.runs.history import best_row
from ban_tf.training.balanced_accuracy import BalancedAccuracy


def _batch(count=60):
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(count, 4)).astype("float32")
    return draw.choice(4, count, p=[0.7, 0.1, 0.1, 0.1]), logits


@pytest.mark.parametrize("form", ["integers", "column", "one-hot"])
def test_it_is_that_of_scikit_learn_over_batches(form):
    labels, logits = _batch()
    given = {"integers": labels, "column": labels[:, None], "one-hot": np.eye(4)[labels]}[form]
    metric = BalancedAccuracy(4)
    metric.update_state(given[:25], logits[:25])
    metric.update_state(given[25:], logits[25:])
    expected = metrics.balanced_accuracy_score(labels, logits.argmax(-1))
    assert float(metric.result()) == pytest.approx(expected)


def test_what_has_no_label_or_weight_and_classes_that_do_not_occur_do_not_count():
    labels, logits = _batch()
    weights = np.where(labels == 2, 0.0, 3.0)
    given = np.where(labels == 3, -1, labels)
    metric = BalancedAccuracy(4)
    metric.update_state(given, logits, weights)
    recalls = [np.mean(logits[labels == label].argmax(-1) == label) for label in (0, 1)]
    assert float(metric.result()) == pytest.approx(np.mean(recalls))


def test_the_best_epoch_is_chosen_by_what_is_monitored():
    rows = [
        {"epoch": 1, "val_accuracy": 0.9, "val_balanced_accuracy": 0.5, "val_loss": 1.0},
        {"epoch": 2, "val_accuracy": 0.8, "val_balanced_accuracy": 0.6, "val_loss": 1.0},
    ]
    assert best_row(rows)["epoch"] == 1
    assert best_row(rows, "val_balanced_accuracy")["epoch"] == 2
