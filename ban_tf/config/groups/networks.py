"""The networks: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.architectures import pixels
from ban_tf.config import needs
from ban_tf.config.flag import flag

_BACKBONES = "keras:NAME, kerashub:PRESET and package.module:function"


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """The networks."""

    HEADING: ClassVar[str] = "Networks"
    arch: str = flag(
        "wrn-16-1",
        "Architecture: wrn-DEPTH-WIDTH (wrn alone is wrn-16-1), densenet-DEPTH-GROWTH, on text "
        "lstm-LAYERS-UNITS, cnn-lstm-LAYERS-UNITS or causal-transformer-LAYERS-UNITS, on texts "
        "with labels text-cnn-FILTERS, "
        "bilstm-LAYERS-UNITS or text-transformer-LAYERS-UNITS, for masks unet-DEPTH-WIDTH, on "
        "tables mlp-DEPTH-WIDTH or table-resnet-DEPTH-WIDTH; keras:NAME, a backbone of "
        "keras.applications such as EfficientNetV2B0, or kerashub:PRESET; or "
        "package.module:function.",
    )
    student_arch: str | None = flag(
        None,
        "Architecture of the born-again generations, if it differs: also densenet-90-60@depth=2 "
        "(or @compression=0.5) and resnet-wide-UNITS-RATIO@densenet-90-60 (or "
        "resnet-bottleneck-...), which have the shapes of that DenseNet. Several, as A,B,C, are "
        "students of one teacher, and are compared with it.",
        may_be_empty=True,
    )
    input: str = flag(
        "auto",
        "Pixels that the networks take: normalized (by the training data), raw (0..255), "
        "zero_to_one, minus_one_to_one, or imagenet (its mean and std). auto is raw for networks "
        "that prepare images by themselves, else normalized.",
        choices=("auto", *pixels.FORMS),
        of_some_tasks=True,
        needs=(needs.OPEN_PIXELS,),
    )
    weights: str | None = flag(
        None,
        "Weights that a backbone starts from: imagenet, none (random), or a .keras or .weights.h5 "
        "file of the same backbone, whose head is left out. By default those of its name.",
        of_architecture=True,
        needs=needs.architecture("weights", _BACKBONES),
        may_be_empty=True,
    )
    freeze: str | None = flag(
        None,
        "backbone trains the head alone, none trains all (the default), until:EPOCH trains all "
        "after so many epochs. Batch normalization of a frozen backbone is in inference mode.",
        of_architecture=True,
        needs=needs.architecture("freeze", _BACKBONES),
    )
    backbone_learning_rate: float | None = flag(
        None,
        "Multiple of the learning rate for the backbone; 1 by default.",
        bounds=(1e-06, 1.0),
        of_architecture=True,
        needs=(
            *needs.architecture("backbone_learning_rate", _BACKBONES),
            needs.TRAINED_BACKBONE,
        ),
    )
    fresh: str = flag(
        "head",
        "Born-again generations start with a fresh head on the backbone that generation 0 started "
        "from (head), or from random weights (all), of which nothing is frozen.",
        choices=("head", "all"),
        of_some_tasks=True,
        needs=needs.architecture("weights", _BACKBONES),
    )
    share_ends: bool | None = flag(
        None,
        "Students use the first and the last layer of their teacher, frozen; "
        "resnet-...@densenet-... always does.",
        needs=(needs.TEACHER,),
    )
    dropout: float = flag(
        0.0,
        "Dropout inside residual blocks, after the convolutions of a DenseNet, or between the "
        "layers of a language model.",
        bounds=(0.0, 0.95),
        of_architecture=True,
        needs=needs.architecture("dropout", "architectures of this package"),
    )
    compression: float | None = flag(
        None,
        "Fraction of channels that a DenseNet keeps after a block; 0.5 by default.",
        bounds=(0.01, 1.0),
        of_architecture=True,
        needs=needs.architecture("compression", "DenseNets"),
    )
    bottleneck: bool | None = flag(
        None,
        "Use bottleneck layers (DenseNet-B). Default: true.",
        of_architecture=True,
        needs=needs.architecture("bottleneck", "DenseNets"),
    )
    final_transition: bool | None = flag(
        None,
        "Compress the last block of a DenseNet, too, as the paper's parameter counts imply. "
        "Default: false.",
        of_architecture=True,
        needs=needs.architecture("final_transition", "DenseNets"),
    )
    remat: bool | None = flag(
        None,
        "Recompute activations of a DenseNet in the backward pass: slower, with about two "
        "thirds of the memory.",
        of_architecture=True,
        needs=needs.architecture("remat", "DenseNets"),
    )
