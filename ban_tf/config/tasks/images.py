"""Declares image classification."""

from ban_tf.config.declaration import Declaration
from ban_tf.datasets import names

TASK = Declaration(
    name="image_classification",
    data="images",
    prefix="",  # any dataset without the prefix of another task
    implementation="ban_tf.tasks.image_classification:ImageClassification",
    supports=frozenset(
        {
            *("data_dir", "cache", "validation_fraction", "train_examples"),
            *("test_fraction", "skip_bad_files", "input", "teacher_input", "teacher_classes"),
            "fresh",
            *("augment", "augmentation_seed", "mixup", "cutmix", "activation_weight"),
            *("feature_weight", "feature_layers", "feature_loss"),
            *("class_weight", "monitor", "image_size", "resize", "eval_batch_size"),
            *("unlabelled", "unlabelled_confidence", "unlabelled_balance"),
            *("teacher_from", "teacher_signal", "teacher_views", "teacher_top", "recordings"),
            *("final_student", "jit", "steps_per_execution", "sync_batch_norm"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "unroll": "images are not sequences",
        **dict.fromkeys(
            ("target", "target_kind"),
            "a column label has classes; to predict numbers, give --dataset=regression:FILE, or "
            "name their column value",
        ),
        "max_words": "it is for texts with labels",
        "max_length": "it is for texts with labels",
    },
    check_dataset=names.check,
    columns=frozenset({"path"}),
)
