"""Declares the prediction of a number from images."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ban_tf.config.declaration import Declaration
from ban_tf.config.tasks import images, numbers
from ban_tf.datasets import names, number_list

if TYPE_CHECKING:
    from ban_tf.config.options import Options

_CLASSES = "it is for images of classes"
_LEFT_OUT = (
    *("data_dir", "mixup", "cutmix", "class_weight", "monitor", "teacher_top"),
    "teacher_classes",
    *("unlabelled", "unlabelled_confidence", "unlabelled_balance"),
)


def _completed(options: Options, given: Collection[str]) -> Options:
    """Returns options with an objective for numbers, after checking the table."""
    names.check(options.dataset, options.target)
    column = options.target or "the value of each image"
    return numbers.completed(options, given, f"{column} in --dataset={options.dataset}")


TASK = Declaration(
    name="image_regression",
    data="images",
    prefix=number_list.PREFIX,
    implementation="ban_tf.tasks.image_regression:ImageRegression",
    supports=images.TASK.supports - {*_LEFT_OUT} | {"target"},
    reasons={
        **images.TASK.reasons,
        **dict.fromkeys(_LEFT_OUT, _CLASSES),
        "data_dir": "it is for TFDS datasets",
        "target_kind": "it predicts a number; csv:FILE with a column label has classes",
    },
    defaults={
        "augment": "none",  # a flip or a shift may change the number
        # The errors against labels and against a teacher add up, and so do their gradients, of
        # whose size Adam does not depend.
        "optimizer": "adam",
        "learning_rate": 3e-3,
        "weight_decay": 0.0,
    },
    columns=frozenset({"path", number_list.VALUE}),
    values=True,
    completed=_completed,
)
