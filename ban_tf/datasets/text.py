"""Text datasets for language models, in the format of Mikolov's Penn Treebank.

A file is UTF-8, with or without a byte-order mark, and has one sentence per line, words separated
by white space; each line ends in `<eos>`. Only line feeds and carriage returns end lines, not other
characters that Unicode counts as such. `text:PATH`
is a folder with one `*.train.txt`, `*.valid.txt` and `*.test.txt`, or one file, whose lines are
split 80 : 10 : 10 in their order. `text` is the manual of the Python language that is part of
Python: small, and available offline.

The vocabulary is that of the training text, sorted by decreasing frequency; other words become
`<unk>`.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import safe_files

END, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")

_FOLDER = "text:"
_BYTE_ORDER_MARK = "\ufeff"
_SHARES = (0.8, 0.1)
_EMBEDDED_VOCABULARY = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class TextData:
    """A text as tokens.

    Attributes:
        name: The value of `--dataset`.
        vocabulary: The words; tokens are indices into it.
        train: The training text, int32 `[tokens]`.
        validation: The validation text, int32 `[tokens]`.
        test: The test text, int32 `[tokens]`.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def unknown_share(self, part: str) -> float:
        """Returns the fraction of `<unk>` among the words of "train", "validation" or "test"."""
        return unknown_share(self.vocabulary, getattr(self, part))


def unknown_share(vocabulary: Sequence[str], tokens: np.ndarray) -> float:
    """Returns the fraction of `<unk>` among tokens."""
    if UNKNOWN not in vocabulary:
        return 0.0
    return float(np.mean(tokens == list(vocabulary).index(UNKNOWN)))


def check(name: str) -> None:
    """Checks the name of a text without reading it.

    Raises:
        InputError: The file or folder does not exist, or a part of it is missing.
    """
    if name != "text":
        _files(name)


def load(name: str) -> TextData:
    """Reads a text.

    Args:
        name: "text" or "text:PATH".

    Raises:
        InputError: The text cannot be read, or a part of it is too short.
    """
    parts = _embedded() if name == "text" else _read(name)
    limit = _EMBEDDED_VOCABULARY if name == "text" else None
    words = {part: [word for line in lines for word in (*line, END)] for part, lines in parts}
    for part, found in words.items():
        if len(found) < 2:
            raise InputError(f"--dataset={name} has no words in its part {part}.")
    vocabulary = _vocabulary(words["train"], limit)
    if UNKNOWN not in vocabulary and any(set(part) - set(vocabulary) for part in words.values()):
        vocabulary = (*vocabulary, UNKNOWN)
    return TextData(name, vocabulary, *(encode(words[part], vocabulary) for part in PARTS))


def encode(words: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """Returns words as indices into a vocabulary, int32 `[words]`; others become `<unk>`.

    Raises:
        InputError: A word is not in the vocabulary, which has no `<unk>`.
    """
    numbers = {word: number for number, word in enumerate(vocabulary)}
    other = numbers.get(UNKNOWN)
    missing = sorted(set(words) - set(numbers)) if other is None else []
    if missing:
        raise InputError(
            f"the vocabulary lacks {len(missing)} of the words, such as {missing[0][:50]!r}, and "
            f"has no {UNKNOWN} for them, since the training text had no unknown words."
        )
    return np.array([numbers.get(word, other) for word in words], np.int32)


def read_test(name: str) -> list[str]:
    """Returns the words of a test text; each line ends with `<eos>`.

    Args:
        name: "text", or "text:PATH" with a folder, of which the part `test` is read, or one file,
            which is read completely.

    Raises:
        InputError: The text cannot be read, or has fewer than two words.
    """
    lines = dict(_embedded())["test"] if name == "text" else read_lines(_files(name)[-1])
    words = [word for line in lines for word in (*line, END)]
    if len(words) < 2:
        raise InputError(f"--dataset={name} has no words to test with.")
    return words


def _vocabulary(words: list[str], limit: int | None) -> tuple[str, ...]:
    counts = collections.Counter(words)
    common = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(common[:limit])


def _files(name: str) -> list[pathlib.Path]:
    """Returns the file of each part, or one file for all."""
    path = pathlib.Path(name.removeprefix(_FOLDER)).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"--dataset={name} is not a file or folder.")
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
    texts = [read_lines(file) for file in _files(name)]
    return _split(texts[0]) if len(texts) == 1 else zip(PARTS, texts, strict=True)


def read_lines(file: pathlib.Path) -> list[list[str]]:
    """Returns the words of each line of a file, without empty lines.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    try:
        # A pipe would keep its reader waiting.
        with open(file, encoding="utf-8", opener=safe_files.regular) as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = safe_files.reason(error, "it is not UTF-8")
        raise InputError(f"{file} cannot be read as UTF-8 text ({reason}).") from error
    # A byte-order mark is not a word, and may be in the middle of concatenated files.
    lines = (line.split() for line in text.replace(_BYTE_ORDER_MARK, "").split("\n"))
    return [line for line in lines if line]


def _split(lines: list[list[str]]) -> Iterable[tuple[str, list[list[str]]]]:
    first = round(_SHARES[0] * len(lines))
    second = round((_SHARES[0] + _SHARES[1]) * len(lines))
    return zip(PARTS, (lines[:first], lines[first:second], lines[second:]), strict=True)


def _embedded() -> Iterable[tuple[str, list[list[str]]]]:
    """Returns paragraphs of Python's manual, in lower case, without punctuation, numbers as `N`."""
    from pydoc_data import topics

    text = "\n\n".join(topics.topics[topic] for topic in sorted(topics.topics))
    paragraphs = re.split(r"\n\s*\n", text.lower())
    lines = [re.findall(r"[a-z]+|\d+", paragraph) for paragraph in paragraphs]
    lines = [["N" if word.isdigit() else word for word in line] for line in lines if line]
    # Every tenth paragraph is held out, since the order is alphabetical.
    held_out = {8: "valid", 9: "test"}
    parts: dict[str, list[list[str]]] = {part: [] for part in PARTS}
    for index, line in enumerate(lines):
        parts[held_out.get(index % 10, "train")].append(line)
    return parts.items()
