"""The page of a report: every kind of block, and text that is never taken for HTML."""

from __future__ import annotations

import html.parser
import importlib.resources

import pytest

from ban_tf.report import document

HOSTILE = "\"'><script>alert(1)</script> & <b>"
BLOCKS = [
    document.Paragraph(HOSTILE),
    document.Subheading(HOSTILE),
    document.Code(HOSTILE),
    document.Table(HOSTILE, (HOSTILE, HOSTILE), [(HOSTILE, [(HOSTILE, HOSTILE)])]),
    document.Figure(b"png", "png", HOSTILE, HOSTILE),
    document.Figure(b"png", "png", HOSTILE, HOSTILE, wide=True),
    document.Gallery([document.Figure(b"png", "png", HOSTILE), document.Paragraph(HOSTILE)]),
    document.Links([(HOSTILE, HOSTILE)]),
]


class Parsed(html.parser.HTMLParser):
    """The tags of a page, and all of its text and values of attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.texts += [value for _, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_text_of_every_block_is_shown_and_never_taken_for_html():
    page = document.render(HOSTILE, [document.Section(HOSTILE, BLOCKS)], BLOCKS)
    parsed = Parsed(page)
    assert "b" not in parsed.tags
    assert parsed.tags.count("script") == 1  # that of the page itself
    # Title and main heading; the section's heading, there and in the list of sections; then twice
    # each block: its text, a table's caption, label and cells, a picture's words and caption.
    assert parsed.texts.count(HOSTILE) == 4 + 2 * (3 + 7 + 2 + 2 + 2 + 2)


def test_a_section_without_blocks_is_not_shown():
    sections = [document.Section("empty", []), document.Section("full", BLOCKS[:1])]
    page = document.render("title", sections)
    assert "empty" not in page
    assert page.count('"section-1"') == 2 and "section-2" not in page


@pytest.mark.parametrize("name", ["style.css", "sort.js"])
def test_style_sheet_and_script_are_in_the_page_as_they_are_in_their_files(name):
    content = importlib.resources.files("ban_tf.report").joinpath("templates", name).read_text()
    assert content in document.render("title", [])
