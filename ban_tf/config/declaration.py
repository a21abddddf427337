"""What is known of a task before its data is loaded: names, networks, flags. No TensorFlow here.

A data set's name leads to a declaration (see `registry`), and a declaration to the class that
does the work (see `task`), which is imported only when a run begins.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ban_tf import architectures, datasets
from ban_tf.datasets import text
from ban_tf.errors import InputError

if TYPE_CHECKING:
    from ban_tf.tasks.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Declaration:
    """A task, by its data sets and by what the command line may ask of it.

    Attributes:
        name: What the task is called, such as "image_classification".
        data: What its data sets hold, such as "images".
        prefix: Its data sets are named `prefix` or `prefix:...`.
        implementation: The class, a `ban_tf.tasks.Task`, or "package.module:Class".
        supports: Those of `idle.TASK_FLAGS` that the task makes use of. All others are
            refused.
        reasons: Why a flag that is not supported is refused, as the end of a sentence that begins
            with "--flag=value does nothing with --dataset=...: ".
        defaults: Values of flags that are not given, where they differ from those of `Options`.
        networks: The names that --arch may have, each with the flags of `options.ARCHITECTURE`
            that it takes. None for networks of `ban_tf.architectures` that are made for `data`.
        check_dataset: Raises `InputError` for a name of a data set that cannot be loaded; None
            checks nothing before the data is loaded.
        equal_shares: Whether every replica must have the same number of rows of each batch.
    """

    name: str
    data: str
    prefix: str
    implementation: type[Task] | str
    supports: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] | None = None
    check_dataset: Callable[[str], None] | None = None
    equal_shares: bool = False

    def reason(self, flag: str) -> str:
        """Returns why a flag is refused."""
        return self.reasons.get(flag, f"{self.data} have no use for it")

    def check(self, dataset: str) -> None:
        """Checks the name of a data set.

        Raises:
            InputError: It cannot be loaded.
        """
        if self.check_dataset is not None:
            self.check_dataset(dataset)

    def resolve(self, network: str) -> str:
        """Returns the full name of a network.

        Raises:
            InputError: There is no such network.
        """
        if self.networks is None:
            return architectures.resolve(network)
        if network not in self.networks:
            raise InputError(
                f"--arch={network}: the networks for {self.data} are {', '.join(self.networks)}."
            )
        return network

    def check_network(self, network: str, dataset: str) -> None:
        """Checks that a network is made for this task.

        Raises:
            InputError: It is made for other data.
        """
        if self.networks is None and architectures.task(network) != self.data:
            raise InputError(
                f"--arch={network} is for {architectures.task(network)}, but "
                f"--dataset={dataset} has {self.data}."
            )

    def settings(self, network: str) -> set[str]:
        """Returns the flags that a network has beyond its name, such as "dropout"."""
        if self.networks is None:
            return architectures.settings(network)
        return set(self.networks.get(network, ()))

    def shares_ends(self, network: str) -> bool:
        """Returns whether a network always has the first and last layer of its teacher."""
        return self.networks is None and architectures.shares_ends(network)

    def load(self) -> type[Task]:
        """Imports the class that does the work."""
        if isinstance(self.implementation, str):
            module, _, name = self.implementation.partition(":")
            return getattr(importlib.import_module(module), name)
        return self.implementation


IMAGES = Declaration(
    name="image_classification",
    data="images",
    prefix="",  # any data set that no other task claims
    implementation="ban_tf.tasks.image_classification:ImageClassification",
    supports=frozenset(
        {
            *("data_dir", "cache", "validation_fraction", "train_examples"),
            *("augment", "augmentation_seed", "mixup", "activation_weight"),
            *("teacher_from", "teacher_signal", "teacher_views", "teacher_top", "recordings"),
            *("final_student", "jit", "steps_per_execution", "sync_batch_norm"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "schedule=plateau": "it lowers the learning rate by perplexity, which is for text; choose "
        "step, cosine or constant",
        "plateau_factor": "it is for --schedule=plateau, which is for text",
        "plateau_threshold": "it is for --schedule=plateau, which is for text",
        "unroll": "images are no sequences",
    },
    check_dataset=datasets.check,
)

TEXT = Declaration(
    name="language_modeling",
    data="text",
    prefix="text",
    implementation="ban_tf.tasks.language_modeling:LanguageModeling",
    supports=frozenset(
        {
            *("schedule=plateau", "plateau_factor", "plateau_threshold", "unroll"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "data_dir": "it is for TFDS data sets",
        "cache": "it is for TFDS data sets",
        "validation_fraction": "a text has its own validation part",
        "train_examples": "a text is read as a whole",
        "augment": "words are not cropped or flipped",
        "augmentation_seed": "words are not cropped or flipped",
        "teacher_views": "words are not cropped or flipped",
        "mixup": "words cannot be blended",
        "activation_weight": "it compares feature maps of images",
        "teacher_from": "a language model belongs to the vocabulary of its run",
        "teacher_signal": "teachers of text read it beside the student, and are never recorded",
        "teacher_top": "teachers of text read it beside the student, and are never recorded",
        "recordings": "teachers of text read it beside the student, and are never recorded",
        "final_student": "networks that read text keep a state, and their ensemble does not",
        "jit": "LSTMs are slower with XLA",
        "steps_per_execution": "steps of text are executed one at a time",
        "sync_batch_norm": "language models have no batch normalization",
    },
    # The loss is the mean of a batch's words: where papers add up the steps of a batch, their
    # learning rate is --unroll times lower, and their bound on the gradient --unroll times higher.
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
    equal_shares=True,  # rows are streams of text, each of which belongs to one replica
)
