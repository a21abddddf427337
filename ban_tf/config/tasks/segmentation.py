"""Declares segmentation."""

from ban_tf.config.declaration import Declaration
from ban_tf.datasets import mask_folders

TASK = Declaration(
    name="segmentation",
    data="masks",
    prefix=mask_folders.PREFIX,
    implementation="ban_tf.tasks.segmentation:Segmentation",
    supports=frozenset(
        {
            *(
                "data_dir",
                "validation_fraction",
                "train_examples",
                "test_fraction",
                "image_size",
                "resize",
            ),
            *("void_label", "skip_void", "input", "augment", "augmentation_seed"),
            *("class_weight", "teacher_from", "teacher_input", "final_student"),
            *("teacher_signal", "teacher_views", "teacher_top", "recordings"),
            *("eval_batch_size", "jit", "steps_per_execution", "sync_batch_norm"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "unroll": "images are not sequences",
        "cache": "images and masks are in memory",
        "skip_bad_files": "a pair that does not fit is an error",
        "mixup": "it mixes labels of images",
        "cutmix": "it mixes labels of images",
        "monitor": "epochs are compared by mean IoU",
        "activation_weight": "it compares feature maps of classifiers",
        "unlabelled": "it is for classes of examples",
        "unlabelled_confidence": "it is for classes of examples",
        "unlabelled_balance": "it is for classes of examples",
        "fresh": "its networks have no pretrained backbone",
        "teacher_classes": "a given teacher has the classes of the masks",
    },
    defaults={
        "arch": "unet",
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 5e-3,
        "weight_decay": 0.0,
        "resize": "stretch",
    },
    check_dataset=mask_folders.check,
)
