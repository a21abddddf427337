"""Text to learn a language model from, in the format of Mikolov's Penn Treebank.

A file has one sentence a line, words parted by spaces; each line ends in `<eos>`. `text:PATH`
is a folder with one `*.train.txt`, `*.valid.txt` and `*.test.txt` each, or one file, whose lines
are split 80 : 10 : 10 in their order. `text` alone is the manual of the Python language that
comes with Python itself: small, and there without a network.

The vocabulary is that of the training text, the commonest word first; other words count as
`<unk>`.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from ban_tf.errors import InputError

END, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")

_FOLDER = "text:"
_SHARES = (0.8, 0.1)
_EMBEDDED_VOCABULARY = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class TextData:
    """A text as numbers.

    Attributes:
        name: As it was asked for.
        vocabulary: The words; a token is the index of one.
        train: int32 `[tokens]`, what is learnt from.
        validation: int32 `[tokens]`, what is chosen by.
        test: int32 `[tokens]`, what is reported.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def check(name: str) -> None:
    """Finds out what can be found wrong with a text's name without reading it.

    Raises:
        InputError: There is no such file or folder, or a part of it is absent.
    """
    if name != "text":
        _files(name)


def load(name: str) -> TextData:
    """Reads a text.

    Args:
        name: "text" or "text:PATH".

    Raises:
        InputError: The text cannot be read, or a part of it is too short to learn from.
    """
    parts = _embedded() if name == "text" else _read(name)
    limit = _EMBEDDED_VOCABULARY if name == "text" else None
    words = {part: [word for line in lines for word in (*line, END)] for part, lines in parts}
    for part, found in words.items():
        if len(found) < 2:
            raise InputError(f"--dataset={name} has no words in its part {part}.")
    vocabulary = _vocabulary(words["train"], limit)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    if UNKNOWN not in numbers and any(set(part) - set(numbers) for part in words.values()):
        vocabulary = (*vocabulary, UNKNOWN)
        numbers[UNKNOWN] = len(vocabulary) - 1
    tokens = [
        np.array([numbers.get(word, numbers.get(UNKNOWN)) for word in words[part]], np.int32)
        for part in PARTS
    ]
    return TextData(name, vocabulary, *tokens)


def _vocabulary(words: list[str], limit: int | None) -> tuple[str, ...]:
    counts = collections.Counter(words)
    common = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(common[:limit])


def _files(name: str) -> list[pathlib.Path]:
    """The file of each part, or one file for all."""
    path = pathlib.Path(name.removeprefix(_FOLDER)).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"--dataset={name} names no file or folder.")
    files = []
    for part in PARTS:
        found = sorted(path.glob(f"*.{part}.txt"))
        if len(found) != 1:
            raise InputError(
                f"--dataset={name} must hold one file *.{part}.txt; it has {len(found)}."
            )
        files += found
    return files


def _read(name: str) -> Iterable[tuple[str, list[list[str]]]]:
    texts = [_lines(file) for file in _files(name)]
    return _split(texts[0]) if len(texts) == 1 else zip(PARTS, texts, strict=True)


def _lines(file: pathlib.Path) -> list[list[str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as UTF-8 text ({error}).") from error
    return [line.split() for line in text.splitlines() if line.strip()]


def _split(lines: list[list[str]]) -> Iterable[tuple[str, list[list[str]]]]:
    first = round(_SHARES[0] * len(lines))
    second = round((_SHARES[0] + _SHARES[1]) * len(lines))
    return zip(PARTS, (lines[:first], lines[first:second], lines[second:]), strict=True)


def _embedded() -> Iterable[tuple[str, list[list[str]]]]:
    """Paragraphs of Python's manual, in lower case, without punctuation, numbers as `N`."""
    from pydoc_data import topics

    text = "\n\n".join(topics.topics[topic] for topic in sorted(topics.topics))
    paragraphs = re.split(r"\n\s*\n", text.lower())
    lines = [re.findall(r"[a-z]+|\d+", paragraph) for paragraph in paragraphs]
    lines = [["N" if word.isdigit() else word for word in line] for line in lines if line]
    # Every tenth paragraph is held out, since neighbours in the alphabet have little in common.
    held_out = {8: "valid", 9: "test"}
    parts: dict[str, list[list[str]]] = {part: [] for part in PARTS}
    for index, line in enumerate(lines):
        parts[held_out.get(index % 10, "train")].append(line)
    return parts.items()
