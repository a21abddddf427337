"""Counts of classes, and weights by class from a flag or a file."""

import numpy as np
import pytest
from sklearn.utils import class_weight

from ban_tf.datasets import class_weights
from ban_tf.errors import InputError

NAMES = ("a", "b", "c")
LABELS = np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int32)


def test_counts_are_in_one_sentence():
    assert class_weights.describe(LABELS, NAMES) == "Training examples by class: a 60, b 30, c 10."
    assert class_weights.describe(np.arange(6) % 3, NAMES) == (
        "Training examples by class: 2 of each of 3."
    )
    many = np.repeat(np.arange(20), np.arange(20) + 1)
    assert class_weights.describe(many, [f"n{number}" for number in range(20)]) == (
        "Training examples by class: of 20 classes most n19 20, n18 19, n17 18; "
        "fewest n2 3, n1 2, n0 1."
    )


def test_balanced_weights_are_those_of_scikit_learn():
    found = class_weights.weights("balanced", LABELS, NAMES)
    expected = class_weight.compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[LABELS].mean() == pytest.approx(1)


def test_examples_without_a_label_and_classes_without_examples_do_not_count():
    labels = np.array([-1, -1, 0, 0, 0, 1])
    np.testing.assert_allclose(class_weights.weights("balanced", labels, NAMES), [2 / 3, 2, 1])


def test_a_file_may_be_in_any_order(tmp_path):
    file = tmp_path / "weights.csv"
    file.write_text("weight,class\n2,b\n0.5,c\n1,a\n")
    found = class_weights.weights(str(file), LABELS, NAMES)
    np.testing.assert_array_equal(found, np.array([1, 2, 0.5], np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,weight\na,1\nb,1\n", "has no weight for c"),
        ("class,weight\na,1\nb,1\nc,1\nd,1\n", "weight for d, but the classes are a, b, c"),
        ("class,weight\na,1\nb,0\nc,1\n", "weight of b must be a positive number; it is 0"),
        ("class,weight\na,1\nb,-1\nc,1\n", "it is -1"),
        ("class,weight\na,1\nb,inf\nc,1\n", "it is inf"),
        ("class,weight\na,1\nb,x\nc,1\n", "it is x"),
        ("class,weight\na,1\nb\nc,1\n", "it is empty"),
        ("class,weight\na,1\nb,1\nc,1\na,2\n", "two weights for a"),
        ("a,1\nb,1\nc,1\n", "the columns class and weight"),
        ("", "the columns class and weight"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, text, message):
    file = tmp_path / "weights.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message):
        class_weights.weights(str(file), LABELS, NAMES)
