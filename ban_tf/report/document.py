"""What reports are made of: sections of a few kinds of blocks, and the page that shows them.

Sections are data; their HTML is in `templates/`, where Jinja2 escapes every piece of text. A page
is self-contained, and readable by eye, key and ear.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import TypeAlias

import jinja2


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
    """A table whose first column names its rows.

    Attributes:
        caption: What it shows.
        headings: Of the columns.
        groups: Pairs of a name across all columns, or "" for none, and the rows of cells under it.
        texts: Which columns are words rather than numbers.
    """

    caption: str
    headings: Sequence[str]
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]]
    texts: Collection[int] = (0,)


def table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1
) -> Table:
    """Returns a table without groups, of which the first `texts` columns are words."""
    return Table(caption, headings, [("", rows)], range(texts))


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture, embedded in the page.

    Attributes:
        image: Content of the file.
        kind: "png" or "svg+xml".
        alternative: What the picture says, for those who do not see it.
        caption: Below it.
        wide: Whether narrow screens scroll over it rather than make it small.
    """

    image: bytes
    kind: str
    alternative: str
    caption: str = ""
    wide: bool = False


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Small pictures beside each other."""

    blocks: Sequence[Figure | Paragraph]


@dataclasses.dataclass(frozen=True)
class Links:
    """A list of links: words, and where they lead to."""

    targets: Sequence[tuple[str, str]]


Block: TypeAlias = Paragraph | Subheading | Code | Table | Figure | Gallery | Links


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page; one without blocks is not shown."""

    heading: str
    blocks: Sequence[Block]


def render(title: str, sections: Sequence[Section], lead: Sequence[Block] = ()) -> str:
    """Returns a whole HTML document.

    Args:
        title: Of the page.
        sections: What it has, in this order.
        lead: Blocks before the first section.
    """
    shown = [section for section in sections if section.blocks]
    template = _environment().get_template("page.html.jinja")
    return template.render(title=title, sections=shown, lead=lead)


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
