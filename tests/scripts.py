"""Scripts of the project that are in no package, as modules."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).parents[1]


def load(path):
    """Returns the script at a path from the root of the project."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
