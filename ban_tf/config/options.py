"""The command line: flags, and the frozen `Options` that they become; see `groups`."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from ban_tf.config import groups, idle, registry
from ban_tf.config.flag import declared
from ban_tf.config.option_checks import check
from ban_tf.datasets import resizing
from ban_tf.errors import OptionsError

__all__ = ["FLAGS", "Options", "OptionsError", "check", "define_flags", "from_flags"]


# The fields of the last base come first.
@dataclasses.dataclass(frozen=True)
class Options(
    groups.OutputOptions,
    groups.SeedOptions,
    groups.SpeedOptions,
    groups.CheckpointOptions,
    groups.TrainingOptions,
    groups.TeacherOptions,
    groups.ObjectiveOptions,
    groups.MaskOptions,
    groups.DocumentOptions,
    groups.TableOptions,
    groups.DataOptions,
    groups.NetworkOptions,
    groups.GenerationOptions,
):
    """Every setting of a run, checked: all groups together."""

    @property
    def directory(self) -> pathlib.Path:
        """The directory of the run."""
        if self.workdir:
            return pathlib.Path(self.workdir)
        parts = [self.dataset, *self.architectures, self.objective]
        if self.seeds == 1:
            parts.append(str(self.seed))
        return pathlib.Path("runs") / "-".join(re.sub(r"[^\w.+-]+", "_", part) for part in parts)

    def architecture_settings(self) -> dict[str, Any]:
        """The architecture flags that are set."""
        chosen = {name: getattr(self, name) for name in ARCHITECTURE}
        return {name: value for name, value in chosen.items() if value or value is False}

    @property
    def generations(self) -> int:
        """The number of the last generation that may be trained."""
        return self.gens if isinstance(self.gens, int) else self.max_gens

    @property
    def architectures(self) -> list[str]:
        """Names of the networks: generation 0's, and that of the others if it differs."""
        return [self.arch] if self.student_arch is None else [self.arch, self.student_arch]

    @property
    def students(self) -> list[str]:
        """Names of the students, of which `--student_arch` may have several."""
        return [] if self.student_arch is None else self.student_arch.split(",")

    @property
    def mixed(self) -> bool:
        """Whether examples are mixed, so that their labels are distributions."""
        return bool(self.mixup or self.cutmix)

    @property
    def view_seed(self) -> int:
        """The seed from which those of augmented views are derived."""
        return self.seed if self.augmentation_seed is None else self.augmentation_seed

    @property
    def image_height_and_width(self) -> tuple[int, int] | None:
        """The numbers of `--image_size`."""
        return None if self.image_size is None else resizing.parse(self.image_size)

    @property
    def recordings_directory(self) -> pathlib.Path:
        """The directory of recorded teacher outputs."""
        if self.recordings:
            return pathlib.Path(self.recordings)
        return pathlib.Path(self.workdir or "runs") / "recordings"

    def settings(self) -> dict[str, Any]:
        """Returns the settings that must be equal on resume."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if not FLAGS[name].may_change
        }

    def effective(self) -> dict[str, Any]:
        """Returns the flags that have an effect in this run, and so may be given to repeat it."""
        values = dataclasses.asdict(self)
        unused = idle.idle(self, values)
        return {name: value for name, value in values.items() if name not in unused}

    def flagfile(self) -> str:
        """Returns the text of a flagfile that repeats the run."""
        lines = [
            idle.written(name, value)
            for name, value in self.effective().items()
            if value is not None and name != "workdir"
        ]
        return "\n".join(lines) + "\n"


FLAGS = declared(Options)
# Flags that belong to some architectures only.
ARCHITECTURE = tuple(name for name, flag in FLAGS.items() if flag.of_architecture)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of `Options`, among `values`."""
    kinds: dict[str, Callable[..., Any]] = {
        "int": flags.DEFINE_integer,
        "float": flags.DEFINE_float,
        "bool": flags.DEFINE_bool,
    }
    for field in dataclasses.fields(Options):
        text, choices = FLAGS[field.name].help, FLAGS[field.name].choices
        default: Any = {"arch": "wrn", "gens": str(field.default)}.get(field.name, field.default)
        if choices:
            flags.DEFINE_enum(field.name, default, choices, text, flag_values=values)
        else:
            kind = "str" if field.name == "gens" else str(field.type).split(" ")[0]
            define = kinds.get(kind, flags.DEFINE_string)
            define(field.name, default, text, flag_values=values)


def from_flags(values: flags.FlagValues) -> Options:
    """Converts parsed flags to checked options.

    Raises:
        OptionsError: A value is invalid.
    """
    found: dict[str, Any] = {name: values[name].value for name in FLAGS}
    found |= {name: None for name in FLAGS if found[name] == "" and _takes_back(name, values)}
    found["gens"] = _number_or_auto(found["gens"])
    found |= {
        name: value
        for name, value in registry.of(found["dataset"]).defaults.items()
        if values[name].using_default_value
    }
    given = [name for name in found if _asks(name, values, found)]
    return check(Options(**found), given)


def _takes_back(name: str, values: flags.FlagValues) -> bool:
    """Returns whether the empty value of a flag takes back that of a flagfile, which is before it.

    Raises:
        OptionsError: There is none to take back; such as where a variable of the shell is not set.
    """
    if not FLAGS[name].may_be_empty:
        return False  # and is refused by `check`
    if values[name].present < 2:
        raise OptionsError(
            f"--{name} is empty, and no flagfile before it sets it; give it a value, or leave the "
            "flag out."
        )
    return True


def _asks(name: str, values: flags.FlagValues, found: Mapping[str, Any]) -> bool:
    """Returns whether a flag was given and is not switched off."""
    off = found[name] is None or (found[name] is False and name not in ARCHITECTURE)
    return bool(values[name].present) and not off


def _number_or_auto(gens: str) -> int | str:
    if gens == "auto":
        return gens
    try:
        return int(gens)
    except ValueError as error:
        raise OptionsError(f"--gens must be a number or auto; it is {gens}.") from error
