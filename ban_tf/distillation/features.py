"""Features of a student drawn to those of a teacher with other layers, widths and resolutions.

`losses` pairs layers of both networks, and returns what `BornAgainModel` takes as
`distillation_losses`. A `FeatureLoss` brings both features to the same positions (see `alignment`),
and projects the student's channels to the teacher's where the loss compares channels: by a dense
layer, which on maps is a 1x1 convolution. It is trained with the student and is no part of it
(see `projections`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from ban_tf.compat import distribute
from ban_tf.distillation import alignment, feature_layers
from ban_tf.errors import InputError
from ban_tf.objectives.feature_losses import LOSSES
from ban_tf.objectives.objective import check_weight
from ban_tf.system.arguments import check_count


@keras.saving.register_keras_serializable("ban_tf")
class FeatureLoss(keras.distillation.DistillationLoss):
    """A loss between a layer of the teacher and one of the student, of any shapes.

    Unlike `keras.distillation.FeatureDistillation`, the features may differ in channels,
    resolution and kind: vectors, tokens or maps.

    Args:
        loss: "fitnets" (mean squared difference; Romero et al., 2015), "attention" (maps of
            activity; Zagoruyko and Komodakis, 2017), "cosine", or "relational" (distances and
            angles between examples; Park et al., 2019).
        teacher_layer: The name of a layer of the teacher, or its index in `model.layers`: Keras
            gives layers without a name another one each time that a network is built. A layer of a
            nested model is `"MODEL/LAYER"`, its name alone if no other layer has it, or a tuple of
            the indices of both.
        student_layer: The same of the student.
        seed: Seed of the initial weights of the projection.

    Attributes:
        projection: The layer that projects the student's channels; None where none is needed.
        teacher_layer_name: The name of the teacher's layer; None until a model has the index.
        student_layer_name: That of the student's.

    Raises:
        InputError: The loss is unknown, or a layer is neither a name nor an index.
    """

    def __init__(
        self,
        loss: str,
        teacher_layer: str | int | tuple[int, ...],
        student_layer: str | int | tuple[int, ...],
        seed: int = 0,
    ):
        if not isinstance(loss, str) or loss not in LOSSES:
            raise InputError(f"`loss` must be one of {', '.join(LOSSES)}. Received: {loss!r}")
        for layer in (teacher_layer, student_layer):
            if not feature_layers.is_layer(layer):
                raise InputError(
                    f"A layer of `FeatureLoss` must be a name or an index. Received: {layer!r}"
                )
        self.loss = loss
        self.teacher_layer, self.student_layer = teacher_layer, student_layer
        self.teacher_layer_name = teacher_layer if isinstance(teacher_layer, str) else None
        self.student_layer_name = student_layer if isinstance(student_layer, str) else None
        self.seed = check_count("seed", seed, least=0)
        self.projection: keras.layers.Dense | None = None

    def check(self, teacher: keras.Model, student: keras.Model) -> tuple[int, int]:
        """Checks that both layers exist and can be compared; creates nothing.

        Returns:
            The channels of the teacher's and of the student's features.

        Raises:
            InputError: They cannot.
        """
        theirs, ours = (
            feature_layers.output_of(model, layer, role)
            for model, layer, role in (
                (teacher, self.teacher_layer, "teacher"),
                (student, self.student_layer, "student"),
            )
        )
        if LOSSES[self.loss].positions and 2 in (len(theirs.shape), len(ours.shape)):
            raise InputError(
                f"`loss` {self.loss!r} compares positions, but the features of "
                f"{self.teacher_layer!r} or {self.student_layer!r} are vectors; choose "
                "layers that give maps, or another loss."
            )
        self._aligned(theirs, ours)  # symbolic, so that only shapes are computed
        return theirs.shape[-1], ours.shape[-1]

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Checks and names the layers, and creates the projection between their channels."""
        theirs, ours = self.check(teacher, student)
        self.teacher_layer_name = feature_layers.named(teacher, self.teacher_layer, "teacher")
        self.student_layer_name = feature_layers.named(student, self.student_layer, "student")
        if not LOSSES[self.loss].same_channels or theirs == ours:
            self.projection = None
            return
        known = self.projection
        # A later generation has it, whose trainer resets the weights; but not one that was created
        # to check networks, before a strategy's scope was entered.
        if (
            known is not None
            and (known.kernel.shape[0], known.units) == (ours, theirs)
            and distribute.is_of_strategy(known.kernel)
        ):
            return
        self.projection = keras.layers.Dense(
            theirs,
            kernel_initializer=keras.initializers.GlorotUniform(self.seed),
            dtype="float32",
            name=f"projection_of_{self.student_layer_name}".replace("/", "_"),
        )
        self.projection.build((None, ours))

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Accepts features of any shapes, which `compute_loss` aligns."""

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """Returns the loss, a float32 scalar.

        Args:
            teacher_outputs: The teacher's features, `[batch, ..., channels]`.
            student_outputs: The student's.
            **kwargs: Not used.
        """
        theirs, ours = self._aligned(
            ops.cast(teacher_outputs, "float32"), ops.cast(student_outputs, "float32")
        )
        if self.projection is not None:
            ours = self.projection(ours)
        return LOSSES[self.loss].function(theirs, ours)

    def _aligned(self, theirs: Any, ours: Any) -> tuple[Any, Any]:
        theirs, ours = alignment.align(theirs, ours)
        if LOSSES[self.loss].positions is None:
            return alignment.pooled(theirs), alignment.pooled(ours)
        return theirs, ours

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "loss": self.loss,
            "teacher_layer": self.teacher_layer,
            "student_layer": self.student_layer,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureLoss:
        """Rebuilds the loss."""
        return cls(**config)


def losses(
    teacher: keras.Model,
    student: keras.Model,
    loss: str = "fitnets",
    *,
    weight: float = 1.0,
    layers: str | Sequence[tuple[Any, Any]] = "auto",
    seed: int = 0,
) -> list[tuple[FeatureLoss, float]]:
    """Returns `distillation_losses` between the features of two networks.

    Example:
        ```python
        pairs = ban_tf.features.losses(teacher, my_model(), weight=10.0)
        ```

    Args:
        teacher: A Functional or built Sequential model.
        student: The same.
        loss: As for `FeatureLoss`.
        weight: Of the mean over the pairs of layers.
        layers: Pairs of a teacher's and a student's layer, names or indices as for `FeatureLoss`;
            "auto" takes the ends of the stages of both, also inside of nested models, see
            `feature_layers.automatic`.
        seed: Seed of the initial weights of the projections.

    Raises:
        InputError: An argument is invalid, a layer does not exist, the features of a pair cannot be
            compared, or "auto" finds none.
    """
    weight, seed = check_weight("weight", weight), check_count("seed", seed, least=0)
    pairs: Any = layers
    if isinstance(layers, str) and layers == "auto":
        pairs = [
            (feature_layers.index(teacher, theirs), feature_layers.index(student, ours))
            for theirs, ours in feature_layers.automatic(teacher, student)
        ]
    found = [
        FeatureLoss(loss, theirs, ours, seed + number)
        for number, (theirs, ours) in enumerate(feature_layers.check_pairs(pairs))
    ]
    for entry in found:
        entry.check(teacher, student)
    return [(entry, weight / len(found)) for entry in found]
