"""What a flag may need to do anything at all; a flag that is given and does nothing is refused.

`--gens=0` makes no flag idle: the flags of the born-again generations are part of a run, and the
same command with a larger `--gens` trains them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ban_tf import architectures
from ban_tf.config import registry
from ban_tf.datasets import mask_folders, names
from ban_tf.distribution import cluster
from ban_tf.objectives import names as objective_names

# Flags that only a teacher that is run in each step can serve.
ONLINE = ("mixup", "cutmix", "activation_weight", "feature_weight", "analyse")


class Need(NamedTuple):
    """A requirement without which a flag has no effect.

    Attributes:
        flag: The flag that decides.
        belongs_to: A description of the use of the flag in question; empty if the task gives the
            reason.
        met: Returns whether the options meet it.
    """

    flag: str
    belongs_to: str
    met: Callable[[Any], bool]


def _base(options: Any) -> str:
    """Returns the objective without `+labels`."""
    return objective_names.parse(options.objective)[0]


def _labels(options: Any) -> bool:
    return _base(options) == "labels"


def _has_temperature(options: Any) -> bool:
    entry = objective_names.OBJECTIVES.get(_base(options))
    return entry is not None and entry.has_temperature


def _labels_count(options: Any) -> bool:
    weight = options.label_weight
    if weight is None:
        weight = objective_names.parse(options.objective)[1]
    return not options.teacher_from or _labels(options) or weight > 0


def _augmented(options: Any) -> bool:
    if options.augment == "auto":
        return names.augmented_by_default(options.dataset)
    return options.augment not in ("no", "none")


def _validated(options: Any) -> bool:
    return options.validation_fraction > 0 or names.has_validation(options.dataset)


def _without(name: str) -> Need:
    return Need(name, f"runs without --{name}", lambda options: not getattr(options, name))


TFDS = Need("dataset", "TFDS datasets", lambda options: names.is_tfds(options.dataset))
READ = Need(
    "dataset",
    "TFDS datasets and images in files",
    lambda options: not names.is_embedded(options.dataset),
)
MASK_FILES = Need(
    "dataset",
    "masks in files",
    lambda options: not mask_folders.is_drawn(options.dataset),
)
SPLIT = Need(
    "dataset",
    "data without a test part",
    lambda options: names.may_be_split(options.dataset),
)
NO_VALIDATION = Need(
    "dataset",
    "data without a validation part",
    lambda options: not names.has_validation(options.dataset),
)
VALIDATED = Need("validation_fraction", "runs with validation data", _validated)
SGD = Need("optimizer", "--optimizer=sgd", lambda options: options.optimizer == "sgd")
PLATEAU = Need("schedule", "--schedule=plateau", lambda options: options.schedule == "plateau")
AUTO = Need("gens", "--gens=auto", lambda options: options.gens == "auto")
TEACHER = Need("objective", "objectives with a teacher", lambda options: _base(options) != "labels")
TEACHER_OR_FEATURES = Need(
    "objective",
    "objectives with a teacher, and frozen backbones",
    lambda options: _base(options) != "labels" or options.freeze == "backbone",
)
OPEN_PIXELS = Need(
    "arch",
    "networks other than keras:NAME and kerashub:PRESET, which take raw pixels",
    lambda options: not any(map(architectures.is_pretrained, options.architectures)),
)
TRAINED_BACKBONE = Need(
    "freeze", "backbones that are trained", lambda options: options.freeze != "backbone"
)
GIVEN_TEACHER = Need(
    "teacher_from", "runs with --teacher_from", lambda options: bool(options.teacher_from)
)
FEATURES = Need(
    "feature_weight",
    "runs with --feature_weight",
    lambda options: bool(options.feature_weight),
)
NO_LABELS_READ = Need(
    "objective",
    "objectives that read no labels: kd, kd-standardized, dkpp and dist",
    lambda options: _base(options) in ("labels", "kd", "kd-standardized", "dkpp", "dist"),
)
UNLABELLED = Need(
    "unlabelled", "runs with --unlabelled=folder:PATH", lambda options: bool(options.unlabelled)
)
TEMPERATURE = Need("objective", "objectives with a temperature", _has_temperature)
LABELS = Need("objective", "runs with a label loss", _labels_count)
AUGMENTED = Need("augment", "augmented images, as by --augment=crop", _augmented)
RECORDED = Need(
    "teacher_signal",
    "--teacher_signal=recorded",
    lambda options: options.teacher_signal == "recorded",
)
MAY_RECORD = (
    Need(
        "teacher_signal",
        "--teacher_signal=recorded or auto",
        lambda options: options.teacher_signal != "online",
    ),
    *map(_without, ONLINE),
)
SEVERAL_WORKERS = Need("strategy", "several workers, as by --strategy=multiworker", cluster.several)
SEVERAL_DEVICES = Need(
    "strategy", "training on several devices", lambda options: options.strategy != "one"
)


def of_task(name: str) -> Need:
    """Requires that the task supports the flag."""
    return Need("dataset", "", lambda options: name in registry.of(options.dataset).supports)


def architecture(name: str, belongs_to: str) -> tuple[Need, ...]:
    """Returns the need for an architecture that has the flag."""

    def met(options: Any) -> bool:
        task = registry.of(options.dataset)
        return any(name in task.settings(network) for network in options.architectures)

    return (Need("arch", belongs_to, met),)
