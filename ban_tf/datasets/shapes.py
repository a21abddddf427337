"""Small pictures of disks, squares and triangles and their masks, drawn with seeded NumPy.

Each picture has one to three bright shapes of any color on a dark background, and noise; the form
and not the color says the class. As in the masks of PASCAL VOC, the contour of a
shape has no class.
"""

from __future__ import annotations

import numpy as np

from ban_tf.datasets import masks
from ban_tf.datasets.image_data import Parts, Split
from ban_tf.system import seeds

CLASSES = ("background", "disk", "square", "triangle")
SIZE = (32, 32)
_EXAMPLES = {"train": 320, "test": 120}
_RADIUS = (0.18, 0.36)  # of the shorter side
_CENTER = (0.15, 0.85)  # of height and width
_CONTOUR = 0.02  # of the shorter side, on both sides of the edge
_TURN = (-0.4, 0.4)  # radians
_DARK, _BRIGHT = (30, 130), (110, 255)  # of background and shapes
_NOISE = 12.0  # of 255


def load(size: tuple[int, int] | None = None, channels: int = 3) -> Parts:
    """Draws the pictures; they are the same for every run.

    Args:
        size: Height and width; 32x32 by default.
        channels: 1 or 3.
    """
    parts = {}
    for part, count in _EXAMPLES.items():
        rng = np.random.default_rng(seeds.derive_seed(0, "shapes", part))
        drawn = [_draw(rng, *(size or SIZE), channels) for _ in range(count)]
        images, labels = map(np.stack, zip(*drawn, strict=True))
        parts[part] = Split(images, labels)
    return Parts(parts["train"], parts["test"], CLASSES)


def _draw(
    rng: np.random.Generator, height: int, width: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a picture, uint8 `[height, width, channels]`, and its mask."""
    side = min(height, width)
    y, x = np.mgrid[:height, :width] + 0.5
    mask = np.zeros((height, width), np.uint8)
    slope = rng.uniform(-40, 40, (2, 1, 1, channels))
    image = rng.uniform(*_DARK, channels) + slope[0] * (y / height - 0.5)[..., None]
    image = image + slope[1] * (x / width - 0.5)[..., None]
    for _ in range(rng.integers(1, 4)):
        radius = side * rng.uniform(*_RADIUS)
        down, right = rng.uniform(*_CENTER, 2) * (height, width)
        turn, label = rng.uniform(*_TURN), int(rng.integers(1, len(CLASSES)))
        # Negative inside of the shape, and zero at its edge.
        outside = _distance(label, y - down, x - right, radius, turn)
        image[outside < 0] = rng.uniform(*_BRIGHT, channels)
        mask[outside < 0] = label
        mask[np.abs(outside) < side * _CONTOUR] = masks.VOID
    image = image + rng.normal(0, _NOISE, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), mask


def _distance(label: int, y: np.ndarray, x: np.ndarray, radius: float, turn: float) -> np.ndarray:
    """Returns how far pixels are outside of a shape around the origin, as the nearest edge says."""
    if CLASSES[label] == "disk":
        return np.hypot(y, x) - radius
    corners = 4 if CLASSES[label] == "square" else 3
    angles = turn + np.pi / 2 + 2 * np.pi * np.arange(corners)[:, None, None] / corners
    inner = radius * np.cos(np.pi / corners)  # from the center to the middle of an edge
    return np.max(y * np.sin(angles) + x * np.cos(angles), axis=0) - inner
