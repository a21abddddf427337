"""The packages of `ban_tf` and what they import: `python docs/rooms.py` draws them.

The drawing is the Mermaid diagram in ARCHITECTURE.md, between its two marks. `ROOMS` is the order
that `tests/test_architecture.py` holds the imports to.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "ban_tf"
PAGE = ROOT / "ARCHITECTURE.md"

# Lowest first: a package or module imports only from those before it.
ROOMS = (
    "errors",
    "system",
    "metrics",
    "compat",
    "objectives",
    "layers",
    "datasets",
    "architectures",
    "distillation",
    "distribution",
    "config",
    "runs",
    "training",
    "lineage",
    "report",
    "tasks",
    "reproduction",
    "cli",
    "main",
    "__main__",
)
_BEGIN, _END = "<!-- rooms: begin -->\n", "<!-- rooms: end -->\n"


def imports() -> Iterator[tuple[str, str]]:
    """Yields each import inside the package, late ones too: importing module, imported module."""
    modules = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            for name in _imported(node):
                while name and name not in modules:
                    name = name.rpartition(".")[0]
                if name.startswith("ban_tf") and name != module:
                    yield module, name


def room(module: str) -> str:
    """Returns the room of a module; "" for the package itself."""
    return (module.split(".") + [""])[1]


def arrows() -> set[tuple[str, str]]:
    """Returns which room imports from which other one."""
    return {
        (room(importer), room(imported))
        for importer, imported in imports()
        if room(importer) and room(imported) and room(importer) != room(imported)
    }


def drawing() -> str:
    """Returns a Mermaid diagram; an arrow is left out where a longer way says the same."""
    found = arrows()
    below = {name: {low for high, low in found if high == name} for name in ROOMS}
    reach: dict[str, set[str]] = {}
    for name in ROOMS:
        reach[name] = below[name].union(*(reach[low] for low in below[name]))
    lines = ["```mermaid", "graph BT"]
    for high in ROOMS[:-1]:  # `__main__` is drawn as little as `__init__`
        for low in sorted(below[high], key=ROOMS.index):
            if not any(low in reach[other] for other in below[high] - {low}):
                lines.append(f"    {low} --> {high}")
    return "\n".join([*lines, "```\n"])


def page() -> str:
    """Returns ARCHITECTURE.md with the present drawing."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    return before + _BEGIN + drawing() + _END + rest.partition(_END)[2]


def _name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
