"""The command line: flags, and the frozen `Options` that they turn into.

Everything that can be found wrong without TensorFlow is found here, before it is imported.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import re
from typing import Any

from absl import flags

from ban_tf import architectures, cluster, datasets, flag_help
from ban_tf.datasets import text
from ban_tf.errors import InputError
from ban_tf.objectives import names as objective_names

# Flags that may change when a run is gone on with: they do not touch what it computes.
FREE = (
    "gens",
    "max_gens",
    "epochs",  # those of generations that have not begun
    "workdir",
    "data_dir",
    "recordings",
    "cache",
    "steps_per_execution",
    "checkpoint_steps",
    "on_divergence",
    "progress",
    "tensorflow_log",
    "profile",
    "seeds",
    "final_student",
    "strategy",
    "virtual_devices",
    "worker_timeout",
)


# Flags that belong to some architectures only.
ARCHITECTURE = ("dropout", "compression", "bottleneck", "final_transition", "remat")


class OptionsError(InputError):
    """A flag has a value that cannot be used; the message names flag, value and remedy."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Every setting of a run, checked. The fields are the flags of the same names."""

    gens: int | str = 3
    max_gens: int = 10
    arch: str = "wrn-16-1"
    student_arch: str | None = None
    share_ends: bool | None = None
    dropout: float = 0.0
    compression: float | None = None
    bottleneck: bool | None = None
    final_transition: bool | None = None
    remat: bool | None = None
    dataset: str = "digits"
    data_dir: str | None = None
    validation_fraction: float = 0.1
    train_examples: int | None = None
    cache: str = "auto"
    augment: str = "auto"
    objective: str = "kd"
    label_weight: float | None = None
    label_smoothing: float = 0.0
    temperature: float | None = None
    tighten_epochs: float | None = None
    activation_weight: float | None = None
    mixup: float | None = None
    teacher: str = "previous"
    teacher_from: str | None = None
    teacher_signal: str = "auto"
    teacher_precision: str = "same"
    teacher_views: int | None = None
    teacher_top: int | None = None
    recordings: str | None = None
    ensemble_average: str = "probabilities"
    epochs: int = 30
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    plateau_factor: float = 0.25
    plateau_threshold: float = 0.0
    unroll: int = 35
    clip_norm: float | None = None
    checkpoint: str = "last"
    checkpoint_steps: int | None = None
    on_divergence: str = "stop"
    precision: str = "float32"
    jit: str = "auto"
    strategy: str = "auto"
    virtual_devices: int | None = None
    worker_timeout: float = 600.0
    sync_batch_norm: bool = False
    steps_per_execution: int | None = None
    deterministic: bool = False
    seed: int = 0
    seeds: int = 1
    final_student: bool = False
    augmentation_seed: int | None = None
    workdir: str | None = None
    analyse: bool | None = None
    progress: str = "auto"
    tensorflow_log: bool = False
    profile: bool = False

    @property
    def directory(self) -> pathlib.Path:
        """Where the run is kept."""
        if self.workdir:
            return pathlib.Path(self.workdir)
        parts = [self.dataset, *self.architectures, self.objective]
        if self.seeds == 1:
            parts.append(str(self.seed))
        return pathlib.Path("runs") / "-".join(re.sub(r"[^\w.+-]+", "_", part) for part in parts)

    def architecture_settings(self) -> dict[str, Any]:
        """The settings of architectures that were asked for, without those left alone."""
        chosen = {name: getattr(self, name) for name in ARCHITECTURE}
        return {name: value for name, value in chosen.items() if value or value is False}

    @property
    def generations(self) -> int:
        """The number of the last generation that may be trained."""
        return self.max_gens if self.gens == "auto" else self.gens

    @property
    def architectures(self) -> list[str]:
        """Names of the networks: generation 0's, and the others' if they are of another kind."""
        return [self.arch] if self.student_arch is None else [self.arch, self.student_arch]

    @property
    def recordings_directory(self) -> pathlib.Path:
        """Where recorded teachers are kept."""
        if self.recordings:
            return pathlib.Path(self.recordings)
        return pathlib.Path(self.workdir or "runs") / "recordings"

    def settings(self) -> dict[str, Any]:
        """What a run must agree on with the one that it goes on with."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in FREE}

    def flagfile(self) -> str:
        """Returns the text of a flagfile that gives the same run."""
        lines = [
            f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in dataclasses.asdict(self).items()
            if value is not None and name != "workdir"
        ]
        return "\n".join(lines) + "\n"


_CHOICES = {
    "augment": ("auto", "yes", "no"),
    "teacher": ("previous", "ensemble", "first"),
    "teacher_signal": ("auto", "online", "recorded"),
    "cache": ("auto", "memory", "disk"),
    "jit": ("auto", "yes", "no"),
    "ensemble_average": ("probabilities", "logits"),
    # Those that every supported Keras knows.
    "optimizer": (
        *("sgd", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion"),
        *("muon", "nadam", "rmsprop"),
    ),
    "strategy": ("auto", "one", "mirrored", "multiworker"),
    "schedule": ("step", "cosine", "constant", "plateau"),
    "checkpoint": ("last", "best"),
    "on_divergence": ("stop", "retry"),
    "teacher_precision": ("same", "auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "progress": ("auto", "lines", "none"),
}

# Inclusive bounds; what lies outside is a mistake rather than a wish.
_BOUNDS = {
    "gens": (0, 1000),
    "max_gens": (1, 1000),
    "tighten_epochs": (1e-3, 1e6),
    "activation_weight": (0.0, 1e9),
    "mixup": (1e-3, 100.0),
    "epochs": (1, 1_000_000),
    "batch_size": (1, 1_000_000),
    "train_examples": (2, math.inf),
    "seed": (0, 2**31 - 1),
    "seeds": (1, 1000),
    "augmentation_seed": (0, 2**31 - 1),
    "teacher_views": (1, 1_000_000),
    "teacher_top": (1, 65_535),
    "steps_per_execution": (1, 1_000_000),
    "validation_fraction": (0.0, 0.5),
    "dropout": (0.0, 0.95),
    "compression": (0.01, 1.0),
    "label_weight": (0.0, 1e6),
    "label_smoothing": (0.0, 0.99),
    "temperature": (1e-3, 1e3),
    "learning_rate": (1e-12, 1e3),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 1.0),
    "warmup_epochs": (0.0, 1e6),
    "plateau_factor": (1e-6, 1.0),
    "plateau_threshold": (0.0, 1e6),
    "unroll": (1, 10_000),
    "clip_norm": (1e-9, 1e9),
    "virtual_devices": (2, 64),
    "worker_timeout": (1.0, 1e6),
    "checkpoint_steps": (1, 1_000_000_000),
}


# What flags mean on text unless they are given. The loss is the mean of a batch's words: where
# papers add up the steps of a batch, their learning rate is --unroll times lower, and their bound
# on the gradient --unroll times higher.
_ON_TEXT = {
    "arch": "lstm",
    "objective": "kd+labels",
    "dropout": 0.2,
    "epochs": 15,
    "batch_size": 20,
    "learning_rate": 35.0,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "plateau",
    "clip_norm": 0.15,
    "checkpoint": "best",
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of `Options`, among `values`."""
    kinds = {"int": flags.DEFINE_integer, "float": flags.DEFINE_float, "bool": flags.DEFINE_bool}
    for field in dataclasses.fields(Options):
        text = flag_help.HELP[field.name]
        default = {"arch": "wrn", "gens": str(field.default)}.get(field.name, field.default)
        if field.name in _CHOICES:
            flags.DEFINE_enum(field.name, default, _CHOICES[field.name], text, flag_values=values)
        else:
            kind = "str" if field.name == "gens" else field.type.split(" ")[0]
            define = kinds.get(kind, flags.DEFINE_string)
            define(field.name, default, text, flag_values=values)


def from_flags(values: flags.FlagValues) -> Options:
    """Turns parsed flags into checked options.

    Raises:
        OptionsError: A value cannot be used.
    """
    given = {field.name: values[field.name].value for field in dataclasses.fields(Options)}
    given["gens"] = _number_or_auto(given["gens"])
    if text.is_text(given["dataset"]):
        left = {name for name in _ON_TEXT if values[name].using_default_value}
        given |= {name: _ON_TEXT[name] for name in left}
    return check(Options(**given))


def _number_or_auto(gens: str) -> int | str:
    if gens == "auto":
        return gens
    try:
        return int(gens)
    except ValueError as error:
        raise OptionsError(f"--gens must be a number or auto; it is {gens}.") from error


def check(options: Options) -> Options:
    """Returns the options with names resolved.

    Raises:
        OptionsError: A value cannot be used.
    """
    for name, (low, high) in _BOUNDS.items():
        value = getattr(options, name)
        if value is not None and value != "auto" and not low <= value <= high:
            bounds = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise OptionsError(f"--{name} must be {bounds}; it is {value}.")
    if options.warmup_epochs > options.epochs:
        raise OptionsError(
            f"--warmup_epochs is {options.warmup_epochs}, more than --epochs={options.epochs}."
        )
    if options.teacher_views is not None and options.teacher_views > options.epochs:
        raise OptionsError(
            f"--teacher_views is {options.teacher_views}, more than --epochs={options.epochs}: "
            "an epoch sees one view."
        )
    if options.checkpoint == "best" and options.validation_fraction == 0:
        raise OptionsError(
            "--checkpoint=best chooses by validation, but --validation_fraction is 0; "
            "give it a share such as 0.1."
        )
    if options.teacher_from and not pathlib.Path(options.teacher_from).is_file():
        raise OptionsError(
            f"--teacher_from names a file that does not exist: {options.teacher_from}"
        )
    if options.workdir is not None and not options.workdir:
        raise OptionsError("--workdir is empty; name a folder, or leave the flag out.")
    _check_writable(options.directory)
    try:
        objective_names.parse(options.objective, flag=True)
        datasets.check(options.dataset)
        options = dataclasses.replace(options, arch=architectures.resolve(options.arch))
        if options.student_arch:
            student_arch = architectures.resolve(options.student_arch)
            options = dataclasses.replace(options, student_arch=student_arch)
        architectures.check_settings(options.architectures, options.architecture_settings())
        _check_variants(options)
        _check_task(options)
        cluster.check(options)
        return options
    except InputError as error:
        raise OptionsError(str(error)) from error


_FOR_IMAGES = (
    "teacher_from",
    "final_student",
    "teacher_views",
    "train_examples",
    "mixup",
    "activation_weight",
)


def _check_task(options: Options) -> None:
    """Makes sure that the network, the schedule and the data are all for images or all for text."""
    task = "text" if text.is_text(options.dataset) else "images"
    for name in options.architectures:
        if architectures.task(name) != task:
            raise OptionsError(
                f"--arch={name} is for {architectures.task(name)}, but "
                f"--dataset={options.dataset} has {task}."
            )
    if task == "images" and options.schedule == "plateau":
        raise OptionsError("--schedule=plateau is for text; choose step, cosine or constant.")
    if task == "text":
        for name in _FOR_IMAGES:
            if getattr(options, name):
                raise OptionsError(f"--{name} is for images; leave it out on text.")
        if options.teacher_signal == "recorded":
            raise OptionsError("--teacher_signal=recorded is for images; on text it is online.")


def _check_variants(options: Options) -> None:
    """Makes sure that what departs from the plain lineage can be had together."""
    if options.gens == "auto" and options.validation_fraction == 0:
        raise OptionsError(
            "--gens=auto stops by validation, but --validation_fraction is 0; give it a share "
            "such as 0.1."
        )
    if options.final_student and options.gens != "auto" and options.gens < 2:
        raise OptionsError(
            "--final_student learns from an ensemble of born-again generations: --gens must be at "
            f"least 2; it is {options.gens}."
        )
    if options.activation_weight and options.student_arch and options.generations > 1:
        raise OptionsError(
            "--activation_weight compares teacher and student layer by layer: with --student_arch "
            f"it needs --gens=1; it is {options.gens}."
        )
    if options.activation_weight and options.teacher_precision != "same":
        raise OptionsError(
            "--activation_weight looks into the teacher, which --teacher_precision="
            f"{options.teacher_precision} would rebuild; leave out one of them."
        )
    if options.teacher_signal == "recorded" and needs_online(options):
        raise OptionsError(
            f"--{needs_online(options)} needs more of the teacher than its recorded outputs; use "
            "--teacher_signal=online."
        )
    if options.tighten_epochs and options.objective.split("+")[0] in ("cwtm", "importance"):
        raise OptionsError(
            f"--tighten_epochs passes from the labels to the teacher, but --objective="
            f"{options.objective} learns from labels alone; choose kd or dkpp."
        )


def needs_online(options: Options) -> str | None:
    """Returns the flag that only a teacher that is asked can serve, if one is set."""
    asking = ("mixup", "activation_weight", "analyse")
    return next((name for name in asking if getattr(options, name)), None)


def _check_writable(directory: pathlib.Path) -> None:
    nearest = directory.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OptionsError(f"--workdir={directory} cannot be made: {nearest} is a file.")
    if not os.access(nearest, os.W_OK):
        raise OptionsError(f"--workdir={directory} cannot be written: {nearest} is not writable.")
