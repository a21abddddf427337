"""Declares language modeling."""

from ban_tf.config.declaration import Declaration
from ban_tf.datasets import text

TASK = Declaration(
    name="language_modeling",
    data="text",
    prefix="text",
    implementation="ban_tf.tasks.language_modeling:LanguageModeling",
    supports=frozenset(
        {
            *("schedule=plateau", "plateau_factor", "plateau_threshold", "unroll"),
            *("teacher_from", "teacher_signal", "teacher_top", "recordings", "final_student"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "data_dir": "it is for TFDS datasets",
        "cache": "it is for images",
        "image_size": "it is for images",
        "resize": "it is for images",
        "eval_batch_size": "--batch_size is the number of streams of a text, in evaluation, too",
        "validation_fraction": "a text has its own validation part",
        "train_examples": "a text is read as a whole",
        "test_fraction": "a text has its own test part",
        "skip_bad_files": "it is for images",
        "input": "words are not pixels",
        "fresh": "language models have no backbone",
        "teacher_input": "words are not pixels",
        "teacher_classes": "a language model belongs to the vocabulary of its run",
        "augment": "words are not cropped or flipped",
        "augmentation_seed": "words are not cropped or flipped",
        "teacher_views": "words are not cropped or flipped",
        "mixup": "words cannot be mixed",
        "cutmix": "words cannot be mixed",
        "unlabelled": "every word of a text is the label of those before",
        "unlabelled_confidence": "every word of a text is the label of those before",
        "unlabelled_balance": "every word of a text is the label of those before",
        "max_words": "the vocabulary is that of the training text",
        "max_length": "a text is read as a whole",
        "monitor": "epochs of text are compared by perplexity",
        "class_weight": "words are not classes of examples",
        "activation_weight": "it compares feature maps of images",
        "feature_weight": "it compares features of images",
        "feature_layers": "they are of networks on images",
        "feature_loss": "it compares features of images",
        "jit": "LSTMs are slower with XLA",
        "steps_per_execution": "steps of text are executed one at a time",
        "sync_batch_norm": "language models have no batch normalization",
    },
    # The loss is the mean over the words of a batch: papers that sum over steps have a learning
    # rate that is --unroll times lower, and a gradient bound that is --unroll times higher.
    defaults={
        "arch": "lstm",
        "dropout": 0.2,
        "epochs": 15,
        "batch_size": 20,
        "learning_rate": 35.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "clip_norm": 0.15,
        "checkpoint": "best",
    },
    check_dataset=text.check,
    equal_shares=True,  # rows are streams of text, each on one replica
)
