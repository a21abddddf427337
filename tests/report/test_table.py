from __future__ import annotations

import io
import re

import finished_run
import pytest

from ban_tf.report import table
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks.run import Run

METRICS = {
    "examples": 360,
    "accuracy": 0.975,
    "negative_log_likelihood": 0.12345,
    "expected_calibration_error": 0.01234,
    "brier_score": 0.05,
    "confidence": 0.97,
    "error_interval": [0.01, 0.05],
}


def change(difference, low, high, significant):
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "mcnemar_p": 0.01 if significant else 0.6,
        "significant": significant,
    }


def a_summary(significant=True):
    clear = change(-0.0125, -0.02, -0.005, True) if significant else change(0, -0.01, 0.01, False)
    unclear = change(0.0025, -0.0051, 0.0102, False)
    return {
        "format": 1,
        "run": {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 3},
        "average": "probabilities",
        "generations": [
            {
                "generation": generation,
                "taught_by": f"generation {generation - 1}" if generation else "labels",
                **METRICS,
                "error": 0.025,
                "change_in_error": difference,
                "seconds": 12.34,
                "extra": {},
            }
            for generation, difference in enumerate([None, unclear, clear])
        ],
        "ensembles": [
            {
                "name": name,
                "members": [],
                **METRICS,
                "error": 0.0125,
                "change_in_error": clear,
            }
            for name in ("generations 1-2", "generations 0-1", "generations 0-2")
        ],
    }


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_has_the_promised_columns_and_cells():
    lines = table.write_markdown(a_summary()).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    assert cells(lines[start]) == [
        "generation",
        "taught by",
        "test error (%)",
        "negative log-likelihood",
        "expected calibration error",
        "change against generation 0 (95 % interval)",
        "seconds",
    ]
    assert cells(lines[start + 2]) == ["0", "labels", "2.50", "0.1235", "0.0123", "", "12.3"]
    assert cells(lines[start + 3])[5] == "+0.25 [-0.51, +1.02]"
    assert cells(lines[start + 4])[5] == "-1.25 [-2.00, -0.50]"


def test_markdown_names_the_run_and_its_ensembles():
    text = table.write_markdown(a_summary())
    assert text.startswith("# Born-again wrn-16-1 on digits\n\n2 born-again generations")
    assert "objective kd, seed 3; measured on 360 test examples." in text
    assert "| generations 0-2 | 1.25 |" in text
    assert "## Run it again" not in text and "## Files" not in text


def test_markdown_shows_optional_facts():
    content = a_summary()
    content["run"] |= {
        "epochs": 1,
        "command": "ban-tf --gens=2",
        "files": {"ensemble.keras": "the ensemble", "summary.json": "these numbers"},
    }
    text = table.write_markdown(content)
    assert ", 1 epoch each;" in text
    assert "```\nban-tf --gens=2\n```" in text
    assert "- `ensemble.keras`: the ensemble\n- `summary.json`: these numbers\n" in text


def test_a_pipe_in_a_name_does_not_break_the_table():
    content = a_summary()
    content["generations"][0]["taught_by"] = "a|b"
    assert "| a\\|b |" in table.write_markdown(content)


def test_nothing_is_claimed_where_the_interval_includes_zero():
    assert "no significant difference from generation 0 for generation 1." in table.notes(
        a_summary()
    )
    none = a_summary(significant=False)
    assert "no significant difference from generation 0 for any row." in table.notes(none)
    none["generations"][1]["change_in_error"] = change(-0.1, -0.2, -0.05, True)
    assert (
        "for generation 2, the ensemble of generations 1-2, the ensemble of generations 0-1 "
        "and the ensemble of generations 0-2." in table.notes(none)
    )


def test_what_is_significantly_better_or_worse_is_named():
    content = a_summary()
    content["generations"][1]["change_in_error"] = change(-0.1, -0.2, -0.05, True)
    content["generations"][2]["change_in_error"] = change(0.1, 0.05, 0.2, True)
    notes = table.notes(content)
    assert "Significantly better than generation 0: generation 1" in notes
    assert "Significantly worse than generation 0: generation 2." in notes
    assert "no significant difference" not in notes


def test_generation_0_alone_makes_a_table_without_comparisons():
    content = a_summary()
    content["generations"], content["ensembles"] = content["generations"][:1], []
    content["generations"][0]["seconds"] = None
    screen = io.StringIO()
    table.show(content, screen)
    assert "ensemble" not in screen.getvalue()
    assert "Nothing to compare" in table.write_markdown(content)
    assert "0 born-again generations" in table.write_markdown(content)


def test_a_file_gets_plain_aligned_text():
    screen = io.StringIO()
    table.show(a_summary(), screen)
    lines = screen.getvalue().splitlines()
    assert "\x1b" not in screen.getvalue()
    first, second, third = (line for line in lines if re.match(r"[012] ", line))
    assert first.split() == ["0", "labels", "2.50", "0.1235", "0.0123", "12.3"]
    assert len(first.rstrip()) == len(second.rstrip()) == len(third.rstrip()) <= 80
    assert third.index("-1.25") == second.index("+0.25")
    assert any(line.startswith("generations 1-2") for line in lines)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_number_is_lost_on_a_terminal_of_any_width(columns, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    screen = Terminal()
    table.show(a_summary(), screen)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert plain != screen.getvalue()
    assert "generation 1  2.50     0.1235      0.0123 -1.25 [-2.00,-0.50]    12.3" in plain


def test_brackets_in_a_name_are_no_markup():
    content = a_summary()
    content["generations"][0]["taught_by"] = "[bold]x"
    screen = io.StringIO()
    table.show(content, screen)
    assert "[bold]x" in screen.getvalue()


def test_html_has_the_cells_of_both_tables_escaped():
    summary = a_summary()
    summary["generations"][0]["taught_by"] = "<b>labels</b>"
    page = table.as_html(summary)
    assert page.count("<table>") == 2
    assert page.count("<tr>") == 2 + len(summary["generations"]) + len(summary["ensembles"])
    assert "<td>&lt;b&gt;labels&lt;/b&gt;</td>" in page and "<b>" not in page
    assert '<th scope="col">negative log-likelihood</th>' in page
    assert table.notes(summary)[:40] in page


def test_a_run_shows_its_results_in_a_notebook(tmp_path):
    page = Run(finished_run.make(tmp_path / "a<b"))._repr_html_()
    assert "a&lt;b</p><table>" in page
    with RunDirectory(tmp_path / "begun") as directory:
        directory.commit({"config.json": b"{}"})
    assert Run(tmp_path / "begun")._repr_html_().count("<p>") == 2


def test_only_generations_at_chance_are_called_no_better_than_it():
    summary = a_summary()
    assert "chance" not in table.notes(summary)
    summary["generations"][1]["extra"] = {"collapsed": True}
    assert table.notes(summary).startswith("No better than chance on validation data")
    assert "a better one: generation 1. " in table.notes(summary)
