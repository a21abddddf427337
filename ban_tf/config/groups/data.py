"""The data: the flags."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag
from ban_tf.datasets import resizing


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """The data."""

    HEADING: ClassVar[str] = "Data"
    dataset: str = flag(
        "digits",
        "digits (embedded), a TFDS dataset such as cifar10, folder:PATH with images, csv:FILE with "
        "the columns path (or text), label and perhaps split. With several labels for each image: "
        "multilabel:digits (embedded), csv:FILE with the columns path and labels, or "
        "multilabel:FILE, also with a column of zeros and ones for each label, or "
        "multilabel:tfds:NAME with a sequence of labels. With a number for "
        "each image: regression:digits (embedded), csv:FILE with the columns path and value, or "
        "regression:FILE with the number in any column (--target). Masks: segmentation "
        "(drawn shapes) or segmentation:FOLDER with the folders images and masks. Texts with "
        "labels: documents (embedded) or documents:FOLDER. Tables: table:FILE or csv:FILE with "
        "columns of any kind (CSV, or Parquet where pandas reads it), or table:breast_cancer, "
        "table:wine and table:diabetes (of scikit-learn). Language models: text (embedded), or "
        "text:PATH, a folder with *.train.txt, *.valid.txt and *.test.txt or one file.",
    )
    data_dir: str | None = flag(
        None,
        "Directory of TFDS datasets.",
        may_change=True,
        of_some_tasks=True,
        needs=(needs.TFDS,),
        may_be_empty=True,
    )
    validation_fraction: float = flag(
        0.1,
        "Fraction of the training data used for validation; data may have a validation part.",
        bounds=(0.0, 0.5),
        of_some_tasks=True,
        needs=(needs.NO_VALIDATION,),
    )
    test_fraction: float = flag(
        0.2,
        "Fraction of each class used for testing, of data without a test part.",
        bounds=(0.01, 0.9),
        of_some_tasks=True,
        needs=(needs.SPLIT,),
    )
    train_examples: int | None = flag(
        None,
        "Use only the first N training examples.",
        bounds=(2, math.inf),
        of_some_tasks=True,
    )
    image_size: str | None = flag(
        None,
        "Height and width to which images are brought, as 224 or 192x256; by default that of the "
        "data, or the most common one of files.",
        of_some_tasks=True,
        may_be_empty=True,
    )
    resize: str = flag(
        "crop",
        "How images are brought to a size: crop (scaled, then the middle is cut out), pad (scaled, "
        "then padded with white) or stretch (the ratio of height to width changes).",
        choices=resizing.METHODS,
        of_some_tasks=True,
    )
    cache: str = flag(
        "auto",
        "Where decoded images are stored: memory, disk (beside the data), or auto: on disk if they "
        "would fill a third of the memory.",
        choices=("auto", "memory", "disk"),
        may_change=True,
        of_some_tasks=True,
        needs=(needs.READ,),
    )
    skip_bad_files: bool = flag(
        False,
        "Leave out images that cannot be read; skipped_files.txt in the run lists them.",
        of_some_tasks=True,
        needs=(needs.READ,),
    )
    unlabelled: str | None = flag(
        None,
        "folder:PATH of images without labels, of any names, from which born-again generations "
        "learn by the teacher alone, beside the training data. An epoch of every generation then "
        "has as many steps as all images fill.",
        of_some_tasks=True,
        needs=(needs.TEACHER, needs.NO_LABELS_READ),
    )
    unlabelled_confidence: float = flag(
        0.0,
        "Use only unlabelled images whose likeliest class has this probability by the teacher.",
        bounds=(0.0, 1.0),
        of_some_tasks=True,
        needs=(needs.UNLABELLED,),
    )
    unlabelled_balance: int | None = flag(
        None,
        "Use at most N unlabelled images of each class that the teacher predicts, those of which "
        "it is most confident.",
        bounds=(1, math.inf),
        of_some_tasks=True,
        needs=(needs.UNLABELLED,),
    )
    augment: str = flag(
        "auto",
        "Augmentation: none; crop (shifts by four pixels, and flips); standard (crops of random "
        "size, and flips); strong (standard, color, TrivialAugment and random erasing); auto: none "
        "for digits and letters, standard from 64 pixels on, crop otherwise. yes is crop, no is "
        "none.",
        choices=("auto", "none", "crop", "standard", "strong", "yes", "no"),
        of_some_tasks=True,
    )
