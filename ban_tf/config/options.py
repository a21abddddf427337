"""The command line: flags, and the frozen `Options` that they turn into; see `option_checks`."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from ban_tf.config import flag_help, flag_needs, registry
from ban_tf.config.option_checks import check
from ban_tf.errors import OptionsError

__all__ = ["FREE", "Options", "OptionsError", "check", "define_flags", "from_flags"]

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


# Flags that are names of files or networks, or nothing.
_OPTIONAL = ("student_arch", "data_dir", "teacher_from", "recordings")

# Flags that belong to some architectures only.
ARCHITECTURE = ("dropout", "compression", "bottleneck", "final_transition", "remat")


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
    objective: str = "kd+labels"
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

    def effective(self) -> dict[str, Any]:
        """Returns the flags that do something in this run, and so may be given to repeat it."""
        values = dataclasses.asdict(self)
        idle = flag_needs.idle(self, values)
        return {name: value for name, value in values.items() if name not in idle}

    def flagfile(self) -> str:
        """Returns the text of a flagfile that gives the same run."""
        lines = [
            flag_needs.written(name, value)
            for name, value in self.effective().items()
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
    found = {name: values[name].value for name in _names()}
    # An empty value takes back what a flagfile set.
    found |= {name: None for name in _OPTIONAL if found[name] == ""}
    found["gens"] = _number_or_auto(found["gens"])
    found |= {
        name: value
        for name, value in registry.of(found["dataset"]).defaults.items()
        if values[name].using_default_value
    }
    given = [name for name in found if _asks(name, values, found)]
    return check(Options(**found), given)


def _names() -> list[str]:
    return [field.name for field in dataclasses.fields(Options)]


def _asks(name: str, values: flags.FlagValues, found: Mapping[str, Any]) -> bool:
    """Whether a flag was given and asks for something; a switch that is off does not."""
    off = found[name] is None or (found[name] is False and name not in ARCHITECTURE)
    return bool(values[name].present) and not off


def _number_or_auto(gens: str) -> int | str:
    if gens == "auto":
        return gens
    try:
        return int(gens)
    except ValueError as error:
        raise OptionsError(f"--gens must be a number or auto; it is {gens}.") from error
