"""The notebooks are those of their scripts, and run from top to bottom."""

import pathlib

import pytest
import scripts

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
make = scripts.load("examples/notebooks/make.py")


@pytest.mark.parametrize("name", make.NAMES)
def test_a_notebook_is_made_from_its_script(name):
    made = make.notebook(name)
    text = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == made, "run: python examples/notebooks/make.py"
    assert len(nbformat.reads(made, 4).cells) < 15


@pytest.mark.nightly
@pytest.mark.parametrize("name", make.NAMES)
def test_a_notebook_runs_and_shows_pictures(name, tmp_path):
    notebook = nbformat.reads(make.notebook(name), 4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 2
    if name == "born_again_images":
        assert any("<table>" in data.get("text/html", "") for data in shown)
