"""What each flag of `ban_tf.main` needs to do anything at all: one table.

A flag that is given, but would do nothing, is refused; defaults never are. The table has a line for
every flag. Those that always do something have an empty one.

`--gens=0` makes no flag idle: the flags of the born-again generations are part of a run, and the
same command with a larger `--gens` trains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ban_tf import datasets
from ban_tf.config import registry
from ban_tf.distribution import cluster
from ban_tf.objectives import names as objective_names

if TYPE_CHECKING:
    from ban_tf.config.options import Options


# Flags that only a teacher that is run in each step can serve.
ONLINE = ("mixup", "activation_weight", "analyse")


class Need(NamedTuple):
    """Something without which a flag does nothing.

    Attributes:
        flag: The flag that decides about it.
        belongs_to: What the flag in question is for, in words; empty where the task says why it
            is refused.
        met: Whether the options meet it.
    """

    flag: str
    belongs_to: str
    met: Callable[[Options], bool]


def _base(options: Options) -> str:
    """The objective without `+labels`."""
    return objective_names.parse(options.objective)[0]


def _labels(options: Options) -> bool:
    return _base(options) == "labels"


def _has_temperature(options: Options) -> bool:
    entry = objective_names.OBJECTIVES.get(_base(options))
    return entry is not None and entry.has_temperature


def _labels_count(options: Options) -> bool:
    weight = options.label_weight
    if weight is None:
        weight = objective_names.parse(options.objective)[1]
    return not options.teacher_from or _labels(options) or weight > 0


def _augmented(options: Options) -> bool:
    return options.augment == "yes" or (
        options.augment == "auto" and datasets.augmented_by_default(options.dataset)
    )


def _without(name: str) -> Need:
    return Need(name, f"runs without --{name}", lambda options: not getattr(options, name))


_TFDS = Need("dataset", "TFDS data sets", lambda options: datasets.is_tfds(options.dataset))
_SGD = Need("optimizer", "--optimizer=sgd", lambda options: options.optimizer == "sgd")
_PLATEAU = Need("schedule", "--schedule=plateau", lambda options: options.schedule == "plateau")
_AUTO = Need("gens", "--gens=auto", lambda options: options.gens == "auto")
_TEACHER = Need(
    "objective", "objectives with a teacher", lambda options: _base(options) != "labels"
)
_TEMPERATURE = Need("objective", "objectives that have a temperature", _has_temperature)
_LABELS = Need("objective", "runs that learn from labels", _labels_count)
_AUGMENTED = Need("augment", "images that are cropped and flipped, as by --augment=yes", _augmented)
_RECORDED = Need(
    "teacher_signal",
    "--teacher_signal=recorded",
    lambda options: options.teacher_signal == "recorded",
)
_MAY_RECORD = (
    Need(
        "teacher_signal",
        "--teacher_signal=recorded or auto",
        lambda options: options.teacher_signal != "online",
    ),
    *map(_without, ONLINE),
)
_SEVERAL_WORKERS = Need(
    "strategy", "several workers, as by --strategy=multiworker", cluster.several
)
_SEVERAL_DEVICES = Need(
    "strategy", "training on several devices", lambda options: options.strategy != "one"
)


def _of_task(name: str) -> Need:
    """The flag is one that the task of the data set makes use of."""
    return Need("dataset", "", lambda options: name in registry.of(options.dataset).supports)


def _architecture(name: str, belongs_to: str) -> tuple[Need, ...]:
    def met(options: Options) -> bool:
        task = registry.of(options.dataset)
        return any(name in task.settings(each) for each in options.architectures)

    return (Need("arch", belongs_to, met),)


# Flags that only some tasks use; see `tasks.declaration.Declaration.supports`.
TASK_FLAGS = (
    *("data_dir", "cache", "validation_fraction", "train_examples"),
    *("augment", "augmentation_seed", "mixup", "activation_weight"),
    *("teacher_from", "teacher_signal", "teacher_views", "teacher_top", "recordings"),
    *("plateau_factor", "plateau_threshold", "unroll"),
    *("final_student", "jit", "steps_per_execution", "sync_batch_norm"),
)

_FURTHER: dict[str, tuple[Need, ...]] = {
    "gens": (),
    "max_gens": (_AUTO,),
    "arch": (),
    "student_arch": (),
    "share_ends": (_TEACHER,),
    "dropout": _architecture("dropout", "architectures of this package"),
    "compression": _architecture("compression", "DenseNets"),
    "bottleneck": _architecture("bottleneck", "DenseNets"),
    "final_transition": _architecture("final_transition", "DenseNets"),
    "remat": _architecture("remat", "DenseNets"),
    "dataset": (),
    "data_dir": (_TFDS,),
    "validation_fraction": (),
    "train_examples": (),
    "cache": (_TFDS,),
    "augment": (),
    "objective": (),
    "label_weight": (_TEACHER,),  # labels alone are the whole of the loss
    "label_smoothing": (_LABELS,),
    "temperature": (_TEMPERATURE,),
    "tighten_epochs": (_TEACHER,),
    "activation_weight": (_TEACHER,),
    "mixup": (),
    "teacher": (_TEACHER,),
    "teacher_from": (),
    "teacher_signal": (_TEACHER,),
    "teacher_precision": (_TEACHER,),
    "teacher_views": (_TEACHER, _AUGMENTED),
    "teacher_top": (_TEACHER, _RECORDED),
    "recordings": (_TEACHER, *_MAY_RECORD),
    "ensemble_average": (),
    "epochs": (),
    "batch_size": (),
    "optimizer": (),
    "learning_rate": (),
    "momentum": (_SGD,),
    "weight_decay": (),
    "schedule": (),
    "warmup_epochs": (),
    "plateau_factor": (_PLATEAU,),
    "plateau_threshold": (_PLATEAU,),
    "unroll": (),
    "clip_norm": (),
    "checkpoint": (),
    "checkpoint_steps": (),
    "on_divergence": (),
    "precision": (),
    "jit": (),
    "strategy": (),
    "virtual_devices": (_SEVERAL_DEVICES,),
    "worker_timeout": (_SEVERAL_WORKERS,),
    "sync_batch_norm": (_SEVERAL_DEVICES,),
    "steps_per_execution": (),
    "deterministic": (),
    "seed": (),
    "seeds": (),
    "final_student": (_TEACHER,),
    "augmentation_seed": (_AUGMENTED,),
    "workdir": (),
    "analyse": (_TEACHER,),
    "progress": (),
    "tensorflow_log": (),
    "profile": (),
}
NEEDS = {
    name: (*((_of_task(name),) if name in TASK_FLAGS else ()), *further)
    for name, further in _FURTHER.items()
}


def needs_online(options: Options) -> str | None:
    """Returns the flag that needs an online teacher, if one is set."""
    return next((name for name in ONLINE if getattr(options, name)), None)


def idle(options: Options, names: Iterable[str]) -> dict[str, Need]:
    """Returns the flags that do nothing, each with the first need that is not met.

    Args:
        options: All of them, with names resolved.
        names: The flags in question.
    """
    unmet = {name: [need for need in NEEDS[name] if not need.met(options)] for name in names}
    return {name: needs[0] for name, needs in unmet.items() if needs}


def reason(options: Options, name: str, need: Need) -> str:
    """Returns why a flag is refused, and what it belongs to."""
    because = f", as it is for {need.belongs_to}"
    if not need.belongs_to:
        because = f": {registry.of(options.dataset).reason(name)}"
    return (
        f"{written(name, getattr(options, name))} does nothing with "
        f"{written(need.flag, getattr(options, need.flag))}{because}"
    )


def written(name: str, value: Any) -> str:
    """Returns a flag as it is given: `--name=value`."""
    return f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
