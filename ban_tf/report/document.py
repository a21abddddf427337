"""The structure of reports: sections of a few kinds of blocks, rendered as one page.

Sections are data; their HTML is in `templates/`, where Jinja2 escapes all text. A page is
self-contained and accessible.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import TypeAlias

import jinja2

from ban_tf.system import shown


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph; `kind` is its class in the style sheet."""

    text: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Subheading:
    """A heading within a section."""

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """A command or file, with its spaces and line breaks."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column has the names of the rows.

    Attributes:
        caption: The caption.
        headings: The headings of the columns.
        groups: Pairs of a name across all columns, or "" for none, and the rows of cells under it.
        texts: The columns with text rather than numbers.
    """

    caption: str
    headings: Sequence[str]
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]]
    texts: Collection[int] = (0,)


def table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> Table:
    """Returns a table without groups, of which the first `texts` columns are text."""
    return Table(caption, headings, [("", rows)], range(texts))


@dataclasses.dataclass(frozen=True)
class Figure:
    """An image, embedded in the page.

    Attributes:
        image: The content of the file.
        kind: "png" or "svg+xml".
        alternative: The alternative text for screen readers.
        caption: The caption below it.
        wide: Whether narrow screens scroll it rather than shrink it.
        pixelated: Whether its pixels are squares where it is enlarged.
    """

    image: bytes
    kind: str
    alternative: str
    caption: str = ""
    wide: bool = False
    pixelated: bool = False


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Small images next to each other."""

    blocks: Sequence[Figure | Paragraph]


@dataclasses.dataclass(frozen=True)
class Links:
    """A list of links: texts and targets."""

    targets: Sequence[tuple[str, str]]


Block: TypeAlias = Paragraph | Subheading | Code | Table | Figure | Gallery | Links


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page; it is left out if it has no blocks."""

    heading: str
    blocks: Sequence[Block]


def render(title: str, sections: Sequence[Section], lead: Sequence[Block] = ()) -> str:
    """Returns a whole HTML document.

    Args:
        title: The title of the page.
        sections: The sections in order.
        lead: Blocks before the first section.
    """
    kept = [section for section in sections if section.blocks]
    template = _environment().get_template("page.html.jinja")
    text = template.render(title=title, sections=kept, lead=lead)
    return shown.escaped(text, keep="\n\t")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ban_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return environment
