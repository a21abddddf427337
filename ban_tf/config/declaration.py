"""Declares a task before its data is loaded: names, networks, flags. No TensorFlow here.

The tasks of this package are declared in `config.tasks`, one in a file. The name of a dataset
selects a declaration (see `registry`), and the declaration names the class that implements the task
(see `tasks.task`), which is only imported when a run starts.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ban_tf import architectures
from ban_tf.errors import InputError

# Why a flag is not supported, where a task gives no reason of its own.
_REASONS = {
    "schedule=plateau": "it lowers the learning rate by perplexity, which is for language models; "
    "choose step, cosine or constant",
    "plateau_factor": "it is for --schedule=plateau, which is for language models",
    "plateau_threshold": "it is for --schedule=plateau, which is for language models",
}


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
        columns: `csv:FILE` is of the task with the most columns that are all in the file, in lower
            case; None for a task that reads no such files.
        equal_shares: Whether every replica must have the same number of rows of each batch.
        values: Whether it may predict values, so that objectives for them are known.
        completed: Returns options with what the data decides, given the options and the names of
            those that were given, or raises `InputError`; None if it decides nothing.
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
    columns: frozenset[str] | None = None
    equal_shares: bool = False
    values: bool = False
    completed: Callable[[Any, Collection[str]], Any] | None = None

    def reason(self, flag: str) -> str:
        """Returns why a flag is not supported."""
        return self.reasons.get(flag) or _REASONS.get(flag, f"it is not for {self.data}")

    def check(self, dataset: str) -> None:
        """Checks the name of a dataset.

        Raises:
            InputError: It cannot be loaded.
        """
        if self.check_dataset is not None:
            self.check_dataset(dataset)

    def complete(self, options: Any, given: Collection[str]) -> Any:
        """Returns options with what the data decides, such as the objective for a number.

        Args:
            options: An `Options`.
            given: The flags that were given.

        Raises:
            InputError: A flag does not fit the data.
        """
        return options if self.completed is None else self.completed(options, given)

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
        if self.networks is None and not architectures.fits(network, self.data):
            if ":" in network and not architectures.is_pretrained(network):
                raise InputError(
                    f"--arch={network} is a network of your own, of which there are none for "
                    f"--dataset={dataset}; a language model has lstm, cnn-lstm or "
                    "causal-transformer."
                )
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
