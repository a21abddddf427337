"""Writes the notebooks in `examples`: `python examples/notebooks/make.py`.

They are made from the scripts beside this one.
A line `# %%` begins a cell of code, `# %% [markdown]` one of text, whose lines are comments.
"""

import pathlib
import re

import nbformat
from nbformat import v4

FOLDER = pathlib.Path(__file__).parent
NAMES = ("born_again_images", "your_own_keras_model")


def notebook(name):
    """Returns the notebook of a script, as text."""
    script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    cells = []
    for kind, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", script, re.MULTILINE):
        if "markdown" in kind:
            text = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
            cells.append(v4.new_markdown_cell(text))
        else:
            cells.append(v4.new_code_cell(body.strip()))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # random by default
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return nbformat.writes(made) + "\n"


if __name__ == "__main__":
    for name in NAMES:
        path = FOLDER.parent / f"{name}.ipynb"
        path.write_text(notebook(name), encoding="utf-8")
        print(path)
