"""Declares the classification of images with several labels each."""

from ban_tf.config.declaration import Declaration
from ban_tf.config.tasks import images
from ban_tf.datasets import names

_ONE_CLASS = "it is for images of one class each"
_LEFT_OUT = (
    *("mixup", "cutmix", "class_weight", "monitor", "teacher_top"),
    "teacher_classes",
    *("unlabelled", "unlabelled_confidence", "unlabelled_balance"),
)

TASK = Declaration(
    name="multi_label_images",
    data="images",
    prefix="multilabel",
    implementation="ban_tf.tasks.multi_label_images:MultiLabelImages",
    supports=images.TASK.supports - {*_LEFT_OUT},
    reasons={
        **images.TASK.reasons,
        **dict.fromkeys(_LEFT_OUT, _ONE_CLASS),
    },
    check_dataset=names.check,
    columns=frozenset({"path", "labels"}),
)
