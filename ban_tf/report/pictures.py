"""Shows a test example in a report: its image or the beginning of its text, if it is stored."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ban_tf.datasets import thumbnails
from ban_tf.report import document
from ban_tf.report.content import (
    ClassContent,
    ImageContent,
    LabelContent,
    NumberContent,
    TextContent,
)
from ban_tf.system import shown


def of_example(
    content: ClassContent | LabelContent | NumberContent, index: int, words: str
) -> document.Figure | document.Paragraph:
    """Returns the image or the text of a test example, or only words if none is stored."""
    files = content.names
    name = shown.escaped(files[index]) if files else f"test example {index}"
    description = f"{name}: {words}"
    if isinstance(content, TextContent) and index in content.texts:
        text = " ".join(content.texts[index].split())
        return document.Paragraph(f"{description}: {shown.escaped(text)}")
    kept: Any = None
    if isinstance(content, (ImageContent, LabelContent)):
        kept = content.test
    elif isinstance(content, NumberContent):
        kept = content.pictures
    stored = np.flatnonzero(() if kept is None else kept.shown == index)
    if not len(stored) or kept.images.shape[-1] not in (1, 3, 4):
        return document.Paragraph(description)
    pixels = kept.images[stored[0]]
    tiny = thumbnails.is_tiny(*pixels.shape[:2])
    alt = f"Image of {description}"
    return document.Figure(_image(pixels), "png", alt, description, pixelated=tiny)


def _image(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "png")
    return file.getvalue()
