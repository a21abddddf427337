"""What runs note of their data: a line on the screen, and what a resumed run checks."""

from __future__ import annotations

from collections.abc import Sequence, Sized


def describe(name: str, parts: Sequence[Sized], noun: str) -> str:
    """Returns the name of a dataset and its numbers of examples.

    Args:
        name: The name.
        parts: The labels of the training, validation and test examples.
        noun: What the examples are, such as "images".
    """
    train, validation, test = (len(labels) for labels in parts)
    return f"{name}: {train:,} training, {validation:,} validation, {test:,} test {noun}"


def identity(
    content: str, parts: Sequence[Sized], class_names: Sequence[str] = ()
) -> dict[str, str]:
    """Returns what identifies the data of a run, for `Task.identity`.

    Args:
        content: The hash of the data; see `datasets.content`.
        parts: The labels of the training, validation and test examples.
        class_names: Those of the classes, if there are any.
    """
    train, validation, test = (len(labels) for labels in parts)
    classes = f", of {len(class_names)} classes" if class_names else ""
    return {
        "examples": f"{train + validation} to train with and {test} to test with{classes}",
        "data": known_by(content),
    }


def known_by(content: str) -> str:
    """Returns how the settings of a run name data of this hash."""
    return f"content of hash {content}"
