"""The training of a generation: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config import needs
from ban_tf.config.flag import flag

# Those of Keras, which is not imported for --help; an older Keras lacks the latest.
_OPTIMIZERS = (
    *("sgd", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb"),
    *("lion", "muon", "nadam", "rmsprop", "schedulefreeadamw"),
)


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """The training of a generation."""

    HEADING: ClassVar[str] = "Training"
    epochs: int = flag(
        30,
        "Epochs of each generation.",
        bounds=(1, 1_000_000),
        may_change=True,
    )
    batch_size: int = flag(
        64,
        "Examples per step, over all replicas.",
        bounds=(1, 1_000_000),
    )
    optimizer: str = flag(
        "sgd",
        "sgd (Nesterov, decay added to the gradient), or the name of a Keras optimizer.",
        choices=_OPTIMIZERS,
    )
    learning_rate: float = flag(
        0.1,
        "Peak learning rate.",
        bounds=(1e-12, 1000.0),
    )
    momentum: float = flag(
        0.9,
        "Momentum of sgd.",
        bounds=(0.0, 0.9999),
        needs=(needs.SGD,),
    )
    weight_decay: float = flag(
        5e-4,
        "Weight decay of the kernels.",
        bounds=(0.0, 1.0),
    )
    schedule: str = flag(
        "cosine",
        "Learning rate schedule: step, cosine, constant, or for text plateau.",
        choices=("step", "cosine", "constant", "plateau"),
    )
    warmup_epochs: float = flag(
        0.0,
        "Epochs of linear learning rate warm-up.",
        bounds=(0.0, 1000000.0),
    )
    plateau_factor: float = flag(
        0.25,
        "Factor of plateau when validation perplexity does not fall.",
        bounds=(1e-06, 1.0),
        of_some_tasks=True,
        needs=(needs.PLATEAU,),
    )
    plateau_threshold: float = flag(
        0.0,
        "Required decrease of perplexity for plateau.",
        bounds=(0.0, 1000000.0),
        of_some_tasks=True,
        needs=(needs.PLATEAU,),
    )
    unroll: int = flag(
        35,
        "Steps of text in a batch, for truncated backpropagation through time.",
        bounds=(1, 10000),
        of_some_tasks=True,
    )
    class_weight: str | None = flag(
        None,
        "Weights of the training examples by class, in all losses and the training accuracy: "
        "balanced (classes have equal weight), or a file of CSV with the columns class and weight.",
        of_some_tasks=True,
    )
    clip_norm: float | None = flag(
        None,
        "Maximum norm of the gradient.",
        bounds=(1e-09, 1000000000.0),
    )
