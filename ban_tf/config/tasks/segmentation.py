"""Declares segmentation."""

from ban_tf.config.declaration import Declaration
from ban_tf.datasets import mask_folders

_ONLINE = (
    "teachers of pixels run with the student, since outputs for every pixel fill a disk; "
    "--teacher_from=FILE.keras takes a given one"
)

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
            *("eval_batch_size", "jit", "steps_per_execution", "sync_batch_norm"),
        }
    ),
    reasons={
        "schedule=plateau": "it lowers the learning rate by perplexity, which is for text; choose "
        "step, cosine or constant",
        "plateau_factor": "it is for --schedule=plateau, which is for text",
        "plateau_threshold": "it is for --schedule=plateau, which is for text",
        "strategy=multiworker": "segmentation trains on the devices of one machine",
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
        "teacher_signal": _ONLINE,
        "teacher_views": _ONLINE,
        "teacher_top": _ONLINE,
        "recordings": _ONLINE,
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
