"""Declares text classification."""

from ban_tf.config.declaration import Declaration
from ban_tf.datasets import documents

_ONCE = "recorded outputs of teachers are in memory, all of them, once for each text"
_PIXELS = "words are not pixels"

TASK = Declaration(
    name="text_classification",
    data="documents",
    prefix=documents.EMBEDDED,
    implementation="ban_tf.tasks.text_classification:TextClassification",
    supports=frozenset(
        {
            *("max_words", "max_length", "validation_fraction", "test_fraction"),
            *("train_examples", "monitor", "steps_per_execution", "strategy=multiworker"),
            *("teacher_from", "final_student", "teacher_signal", "class_weight"),
        }
    ),
    reasons={
        **dict.fromkeys(("input", "teacher_input", "image_size", "resize"), _PIXELS),
        **dict.fromkeys(
            ("augment", "augmentation_seed", "teacher_views"), "texts are not augmented"
        ),
        **dict.fromkeys(("mixup", "cutmix"), "words cannot be mixed"),
        **dict.fromkeys(("teacher_top", "recordings"), _ONCE),
        "unroll": "a text is read as far as --max_length",
        "jit": "LSTMs are slower with XLA",
        "activation_weight": "it compares feature maps of images",
    },
    defaults={
        "arch": "text-cnn",
        "dropout": 0.3,
        "epochs": 20,
        "batch_size": 32,
        "optimizer": "adam",
        "learning_rate": 0.003,
        "weight_decay": 0.0,
    },
    check_dataset=documents.check,
    columns=frozenset({"text"}),
)
