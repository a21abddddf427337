"""The table of a lineage, on the screen and in a notebook."""

from ban_tf.lineage import table

ROWS = [
    {"generation": 0, "taught_by": None, "seconds": 1.25, "loss": 0.5},
    {"generation": 1, "taught_by": "<b>0</b>", "seconds": 1.0, "loss": 0.25, "val_a&b": 1.0},
]


def test_html_has_the_cells_of_the_text_escaped():
    text, page = table.as_text(ROWS), table.as_html(ROWS)
    assert page.count("<tr>") == len(text.splitlines()) == 3
    assert page.startswith('<table><tr><th scope="col">generation</th>')
    assert "<td>0.5000</td><td>-</td>" in page
    assert "&lt;b&gt;0&lt;/b&gt;" in page
    assert "val a&amp;b" in page
    assert "<b>" not in page


def test_the_table_without_generations_is_a_sentence():
    assert table.as_html([]) == "<p>no generation yet</p>"
