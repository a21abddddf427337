"""What docs/results.md says is what the runs said whose summaries are kept beside it."""

import json
import pathlib
import re

import pytest

from ban_tf.report import comparison_page

DOCS = pathlib.Path(__file__).parents[2] / "docs"
COMPARISONS = sorted((DOCS / "results").glob("*.json"))
PAGE = (DOCS / "results.md").read_text()


def name_of(group):
    return pathlib.Path(group["runs"][0]).name


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_comparisons_have_the_numbers_of_the_runs(path):
    for group in json.loads(path.read_text())["groups"]:
        for place, seed in enumerate(group["seeds"]):
            run = DOCS / "results" / f"seed-{seed}" / "evidence" / path.stem / name_of(group)
            found = json.loads((run / "summary.json").read_text())
            assert found["run"]["seed"] == seed
            kept = {f"generation {item['generation']}": item for item in found["generations"]}
            kept |= {f"ensemble of {entry['name']}": entry for entry in found["ensembles"]}
            for row in group["rows"]:
                for metric, cell in row["metrics"].items():
                    assert cell["values"][place] == pytest.approx(kept[row["name"]][metric])


def test_every_row_of_the_page_is_one_of_a_comparison():
    rows = set()
    for path in COMPARISONS:
        result = json.loads(path.read_text())
        for group in result["groups"]:
            group["name"] = name_of(group)
        for metric in comparison_page.shown(result):
            for row in comparison_page.rows(result, metric):
                rows.add(row)
                # Where generation 0 is one network for all, it is told once.
                rows.add(("all", *row[1:]))
    lines = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in PAGE.splitlines()
        if re.match(r"\| [^|]+ \| (generation \d+|ensemble \d-\d) \|", line)
    ]
    assert len(lines) > 100
    assert [line for line in lines if line not in rows] == []


def test_every_comparison_is_described():
    assert COMPARISONS
    assert [name.name for name in COMPARISONS if f"results/{name.name}" not in PAGE] == []
