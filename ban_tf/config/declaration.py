"""Declares a task before its data is loaded: names, networks, flags. No TensorFlow here.

The name of a dataset selects a declaration (see `registry`), and the declaration names the class
that implements the task (see `tasks.task`), which is only imported when a run starts.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ban_tf import architectures, datasets
from ban_tf.datasets import text
from ban_tf.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Declaration:
    """A task: its datasets, its networks and the flags that it supports.

    Attributes:
        name: The name of the task, such as "image_classification".
        data: The kind of its data, such as "images".
        prefix: Its datasets are named `prefix` or `prefix:...`.
        implementation: The class, a `ban_tf.tasks.Task`, or "package.module:Class".
        supports: The flags of `idle.TASK_FLAGS` that the task uses. All others raise an
            error.
        reasons: Why a flag is not supported, as the end of a sentence that begins with
            "--flag=value does nothing with --dataset=...: ".
        defaults: Defaults of flags that differ from those of `Options`.
        networks: The values of --arch, each with the flags of `options.ARCHITECTURE` that it
            takes. None for the networks of `ban_tf.architectures` that are made for `data`.
        check_dataset: Raises `InputError` for the name of a dataset that cannot be loaded; None
            checks nothing before the data is loaded.
        equal_shares: Whether every replica must have the same number of rows of each batch.
    """

    name: str
    data: str
    prefix: str
    implementation: type | str
    supports: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] | None = None
    check_dataset: Callable[[str], None] | None = None
    equal_shares: bool = False

    def reason(self, flag: str) -> str:
        """Returns why a flag is not supported."""
        return self.reasons.get(flag, f"{self.data} have no use for it")

    def check(self, dataset: str) -> None:
        """Checks the name of a dataset.

        Raises:
            InputError: It cannot be loaded.
        """
        if self.check_dataset is not None:
            self.check_dataset(dataset)

    def resolve(self, network: str) -> str:
        """Returns the full name of a network.

        Raises:
            InputError: The network does not exist.
        """
        if self.networks is None:
            return architectures.resolve(network)
        if network not in self.networks:
            raise InputError(
                f"--arch={network}: the networks for {self.data} are {', '.join(self.networks)}."
            )
        return network

    def check_network(self, network: str, dataset: str, **settings: Any) -> None:
        """Checks that a network is made for this task.

        Args:
            network: Its name.
            dataset: The name of the dataset.
            **settings: Flags of the network besides its name.

        Raises:
            InputError: It is made for other data, or too large for this machine.
        """
        if self.networks is None and architectures.task(network) != self.data:
            raise InputError(
                f"--arch={network} is for {architectures.task(network)}, but "
                f"--dataset={dataset} has {self.data}."
            )
        if self.networks is None:
            architectures.check_extent(network, **settings)

    def settings(self, network: str) -> set[str]:
        """Returns the flags of a network besides its name, such as "dropout"."""
        if self.networks is None:
            return architectures.settings(network)
        return set(self.networks.get(network, ()))

    def shares_ends(self, network: str) -> bool:
        """Returns whether a network always uses the first and last layer of its teacher."""
        return self.networks is None and architectures.shares_ends(network)

    def load(self) -> Any:
        """Imports the class that implements the task, a `tasks.task.Task`."""
        if isinstance(self.implementation, str):
            module, _, name = self.implementation.partition(":")
            return getattr(importlib.import_module(module), name)
        return self.implementation


IMAGES = Declaration(
    name="image_classification",
    data="images",
    prefix="",  # any dataset without the prefix of another task
    implementation="ban_tf.tasks.image_classification:ImageClassification",
    supports=frozenset(
        {
            *("data_dir", "cache", "validation_fraction", "train_examples"),
            *("test_fraction", "skip_bad_files", "input", "teacher_input", "fresh"),
            *("augment", "augmentation_seed", "mixup", "cutmix", "activation_weight"),
            *("class_weight", "monitor", "image_size", "resize", "eval_batch_size"),
            *("unlabelled", "unlabelled_confidence", "unlabelled_balance"),
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
        "unroll": "images are not sequences",
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
        "data_dir": "it is for TFDS datasets",
        "cache": "it is for images",
        "image_size": "it is for images",
        "resize": "it is for images",
        "eval_batch_size": "--batch_size is the number of streams of a text, in evaluation, too",
        "validation_fraction": "a text has its own validation part",
        "train_examples": "a text is read as a whole",
        "test_fraction": "a text has its own test part",
        "skip_bad_files": "it is for folders of images",
        "input": "words are not pixels",
        "fresh": "language models have no backbone",
        "teacher_input": "words are not pixels",
        "augment": "words are not cropped or flipped",
        "augmentation_seed": "words are not cropped or flipped",
        "teacher_views": "words are not cropped or flipped",
        "mixup": "words cannot be mixed",
        "cutmix": "words cannot be mixed",
        "unlabelled": "every word of a text is the label of those before",
        "unlabelled_confidence": "every word of a text is the label of those before",
        "unlabelled_balance": "every word of a text is the label of those before",
        "monitor": "epochs of text are compared by perplexity",
        "class_weight": "words are not classes of examples",
        "activation_weight": "it compares feature maps of images",
        "teacher_from": "a language model belongs to the vocabulary of its run",
        "teacher_signal": "teachers of text are run with the student, and are never recorded",
        "teacher_top": "teachers of text are run with the student, and are never recorded",
        "recordings": "teachers of text are run with the student, and are never recorded",
        "final_student": "networks for text are stateful, and their ensemble is not",
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
