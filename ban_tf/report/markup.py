"""The HTML that reports are made of: one self-contained page, readable by eye, key and ear.

Every piece of text is escaped here and nowhere else; what these functions return is markup.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Collection, Sequence

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 0 1rem 3rem; color: #1a1a1a;
  background: #fff; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2.2rem; font-size: 1.25rem; }
h3 { font-size: 1.05rem; } a { color: #0b5394; }
a:focus-visible, .wide:focus-visible { outline: 3px solid #d55e00; outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; }
.wide { overflow-x: auto; margin: 1rem 0 1.6rem; } figure .wide { margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .4rem 0; font-weight: 600; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ccc; text-align: right; }
thead th { vertical-align: bottom; } tbody th, td { white-space: nowrap; vertical-align: top; }
td.text:not(:nth-child(2)), td.text:last-child { white-space: normal; min-width: 6.5em; }
tbody th.group { padding-top: 1rem; font-weight: 700; }
th.text, td.text { text-align: left; } thead th { border-bottom: 2px solid #555; }
tbody th { font-weight: 600; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .9rem; }
.links { columns: 13rem; }
.examples { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none; }
.examples figure { margin: 0; width: 7rem; }
.examples img { width: 6rem; height: 6rem; object-fit: contain; image-rendering: pixelated;
  border: 1px solid #999; background: #fff; }
pre { overflow-x: auto; padding: .7rem; background: #f2f2f2; white-space: pre-wrap; }
.verdict { padding: .7rem 1rem; border-left: .3rem solid #0072b2; background: #f2f7fb; }
@media (max-width: 40rem) { body { font-size: .95rem; } th, td { padding: .25rem .4rem; }
  figure .wide img { max-width: 60rem; } }
@media print { figure .wide img { max-width: 100%; }
  body { max-width: none; font-size: 10pt; } nav, .skip { display: none; }
  .wide { overflow: visible; } table { font-size: 8pt; } th, td { padding: .1rem .3rem; }
  table, tbody, tr, figure, .examples li { break-inside: avoid; }
  h2, h3, p:has(+ .examples) { break-after: avoid; } a { color: inherit; text-decoration: none; } }
"""


def page(title: str, sections: Sequence[tuple[str, str]], lead: str = "") -> str:
    """Returns a whole document.

    Args:
        title: Of the page.
        sections: Heading and markup of each section.
        lead: Markup before the first section.
    """
    names = [f"section-{number}" for number in range(1, len(sections) + 1)]
    contents = "".join(
        f'<li><a href="#{name}">{html.escape(heading)}</a></li>'
        for name, (heading, _) in zip(names, sections, strict=True)
    )
    body = "\n".join(
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">{html.escape(heading)}</h2>\n'
        f"{markup}\n</section>"
        for name, (heading, markup) in zip(names, sections, strict=True)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the results</a>\n'
        f"<header><h1>{html.escape(title)}</h1></header>\n"
        f'<nav aria-label="Sections"><ul>{contents}</ul></nav>\n'
        f'<main id="main">\n{lead}\n{body}\n</main>\n</body>\n</html>\n'
    )


def paragraph(text: str, kind: str = "") -> str:
    """Returns a paragraph; `kind` is its class in the style sheet."""
    return f"<p{_class(kind)}>{html.escape(text)}</p>"


def subheading(text: str) -> str:
    """Returns a heading within a section."""
    return f"<h3>{html.escape(text)}</h3>"


def code(text: str) -> str:
    """Returns a command or file, as it is."""
    return f"<pre><code>{html.escape(text)}</code></pre>"


def table(
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: int | Collection[int] = 1,
) -> str:
    """Returns a table whose first column names its rows.

    Args:
        caption: What it shows.
        headings: Of the columns.
        rows: Cells.
        texts: Which columns are words rather than numbers, or how many from the left.
    """
    return grouped_table(caption, headings, [("", rows)], texts)


def grouped_table(
    caption: str,
    headings: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]],
    texts: int | Collection[int] = 1,
) -> str:
    """Returns a `table` whose rows come in groups, each under a name across all columns."""
    words = range(texts) if isinstance(texts, int) else texts

    def cell(column: int, text: str) -> str:
        kind = _class("text" if column in words else "")
        if column == 0:
            return f'<th scope="row"{kind}>{html.escape(text)}</th>'
        return f"<td{kind}>{html.escape(text)}</td>"

    head = "".join(
        f'<th scope="col"{_class("text" if column in words else "")}>{html.escape(text)}</th>'
        for column, text in enumerate(headings)
    )
    bodies = []
    for name, rows in groups:
        lines = [
            "<tr>" + "".join(cell(column, text) for column, text in enumerate(row)) + "</tr>"
            for row in rows
        ]
        if name:
            across = f'scope="rowgroup" colspan="{len(headings)}" class="text group"'
            lines.insert(0, f"<tr><th {across}>{html.escape(name)}</th></tr>")
        bodies.append("<tbody>\n" + "\n".join(lines) + "\n</tbody>")
    # What can be scrolled must be reachable by key, and then needs a name.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table>\n<caption><span>{html.escape(caption)}</span></caption>\n"
        f"<thead><tr>{head}</tr></thead>\n" + "\n".join(bodies) + "\n</table></div>"
    )


def figure(image: bytes, kind: str, alternative: str, caption: str = "", wide: bool = False) -> str:
    """Returns an embedded picture.

    Args:
        image: Content of the file.
        kind: "png" or "svg+xml".
        alternative: What the picture says, for those who do not see it.
        caption: Below it.
        wide: Whether narrow screens scroll over it rather than make it small.
    """
    data = base64.b64encode(image).decode()
    picture = f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(alternative)}">'
    if wide:
        picture = f'<div class="wide" tabindex="0" role="group" aria-label="Figure">{picture}</div>'
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{picture}{below}</figure>"


def gallery(figures: Sequence[str]) -> str:
    """Returns small pictures beside each other."""
    return '<ul class="examples">' + "".join(f"<li>{each}</li>" for each in figures) + "</ul>"


def links(targets: Sequence[tuple[str, str]]) -> str:
    """Returns a list of links: words, and where they lead to."""
    items = "".join(
        f'<li><a href="{html.escape(target)}">{html.escape(words)}</a></li>'
        for words, target in targets
    )
    return f'<ul class="links">{items}</ul>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
