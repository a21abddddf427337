"""Prints constraints that install the lowest versions that setup.cfg declares.

Usage: python .ci/lowest.py > lowest.txt && pip install --constraint lowest.txt ".[dev]"
"""

from __future__ import annotations

import configparser
import pathlib
import re
from collections.abc import Iterable

SETUP = pathlib.Path(__file__).parents[1] / "setup.cfg"


def lowest(requirements: Iterable[str]) -> list[str]:
    """Returns a constraint for each requirement with a floor: "a[b]>=1.2" gives "a==1.2"."""
    floor = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)(\s*;.*)?")
    found = (floor.fullmatch(requirement.strip()) for requirement in requirements)
    return sorted({f"{match[1]}=={match[2]}{match[3] or ''}" for match in found if match})


def requirements() -> list[str]:
    """Returns every line of setup.cfg that requires a package, those of the extras, too."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(SETUP, encoding="utf-8")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    return [line for text in lists for line in text.splitlines()]


if __name__ == "__main__":
    print("\n".join(lowest(requirements())))
