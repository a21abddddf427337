"""Pictures of test images under their masks: the truth, and what generations predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.patches import Patch

from ban_tf.datasets import masks
from ban_tf.metrics import segmentation
from ban_tf.metrics.segmentation import Counts
from ban_tf.report import plots

_SHOWN = 4  # images of the lowest IoU, and as many that changed most
_OPACITY = 0.6
_PANEL = 2.0  # inches
_MOST_NAMED = 20  # classes in a legend


def choose(counts: Sequence[Counts]) -> np.ndarray:
    """Returns the sorted indices of the images to show.

    Args:
        counts: Of the generations and perhaps of an ensemble, the first and the last of which are
            looked at: where the last is worst, and where it differs most from the first.
    """
    first, last = (np.nan_to_num(segmentation.by_image(part)) for part in (counts[0], counts[-1]))
    worst = np.argsort(last, kind="stable")
    changed = np.argsort(-np.abs(last - first), kind="stable")
    changed = changed[~np.isin(changed, worst[:_SHOWN])]
    return np.sort(np.concatenate([worst[:_SHOWN], changed[:_SHOWN]]))


def shown(models: Iterable[str]) -> list[str]:
    """Returns the models whose masks are drawn: the first and last generation, and the ensemble."""
    names = list(models)
    generations = [name for name in names if name.startswith("generation ")]
    ends = [generations[0], generations[-1], names[-1]]
    return list(dict.fromkeys(ends))


def draw(
    image: np.ndarray,
    true: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    class_names: Sequence[str],
) -> bytes:
    """Draws an image, and the image under its true mask and under predicted ones, as PNG.

    Args:
        image: uint8 [height, width, channels].
        true: The mask, uint8 [height, width].
        predicted: Masks by the name of a generation or ensemble.
        class_names: In the order of the classes.
    """
    colors = masks.colors(len(class_names))
    pixels = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
    # Under a mask in gray, so that colors say the class alone.
    gray = np.float64(pixels).mean(axis=-1, keepdims=True)
    panels = {"image": pixels}
    for name, mask in {"truth": true, **predicted}.items():
        blended = (1 - _OPACITY) * gray + _OPACITY * colors[mask]
        panels[name] = np.round(blended).astype(np.uint8)
    figure = plots.empty_figure(
        _PANEL * len(panels), _PANEL * image.shape[0] / image.shape[1] + 0.7
    )
    for place, (name, panel) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.imshow(panel, interpolation="nearest")
        axes.set_title(name, fontsize="small")
        axes.set_axis_off()
    there = np.unique(np.concatenate([mask.ravel() for mask in (true, *predicted.values())]))
    named = [(int(value), _name(value, class_names)) for value in there][:_MOST_NAMED]
    patches = [
        Patch(facecolor=colors[value] / 255, edgecolor="gray", label=name) for value, name in named
    ]
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=min(len(patches), 6),
        fontsize="small",
        frameon=False,
    )
    return plots.png(figure)


def _name(value: int, class_names: Sequence[str]) -> str:
    return "no class" if value == masks.VOID else class_names[value]
