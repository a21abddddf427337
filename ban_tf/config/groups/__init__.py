"""Every flag of `ban-tf train`, declared once: a file for each heading of its help."""

from __future__ import annotations

from ban_tf.config.groups.checkpoints import CheckpointOptions
from ban_tf.config.groups.data import DataOptions
from ban_tf.config.groups.documents import DocumentOptions
from ban_tf.config.groups.generations import GenerationOptions
from ban_tf.config.groups.masks import MaskOptions
from ban_tf.config.groups.networks import NetworkOptions
from ban_tf.config.groups.objective import ObjectiveOptions
from ban_tf.config.groups.output import OutputOptions
from ban_tf.config.groups.seeds import SeedOptions
from ban_tf.config.groups.speed import SpeedOptions
from ban_tf.config.groups.tables import TableOptions
from ban_tf.config.groups.teachers import TeacherOptions
from ban_tf.config.groups.training import TrainingOptions

# In the order of the help.
GROUPS = (
    GenerationOptions,
    NetworkOptions,
    DataOptions,
    MaskOptions,
    DocumentOptions,
    TableOptions,
    ObjectiveOptions,
    TeacherOptions,
    TrainingOptions,
    CheckpointOptions,
    SpeedOptions,
    SeedOptions,
    OutputOptions,
)

__all__ = [
    "GROUPS",
    "CheckpointOptions",
    "DataOptions",
    "DocumentOptions",
    "GenerationOptions",
    "MaskOptions",
    "NetworkOptions",
    "ObjectiveOptions",
    "OutputOptions",
    "SeedOptions",
    "SpeedOptions",
    "TableOptions",
    "TeacherOptions",
    "TrainingOptions",
]
