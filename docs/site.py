"""Hooks of MkDocs: pages from files of the repository's root, and links that leave `docs`."""

from __future__ import annotations

import pathlib
import re
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages whose text is a file of the repository's root."""
    from mkdocs.structure.files import File

    for source, page in ROOT_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_links(text, ROOT)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Points links out of `docs` to the site's pages."""
    if page.file.src_uri in ROOT_PAGES.values():
        return markdown
    return _links(markdown, (ROOT / "docs" / page.file.src_uri).parent)


def _links(text: str, folder: pathlib.Path) -> str:
    """Returns text with links as the site has them; those to other files become their text."""
    # Material fetches Mermaid from another host; the table below the drawing has the same packages.
    text = re.sub(r"<!-- rooms: begin -->.*?imports\.\)\n", "", text, flags=re.DOTALL)

    def link(match: re.Match[str]) -> str:
        name, target, anchor = match.groups()
        if target.startswith(("http:", "https:")):
            return match[0]
        inside = (folder / target).resolve().relative_to(ROOT).as_posix()
        up = "" if folder in (ROOT, ROOT / "docs") else "../"
        if inside == "docs/api.md":  # the site has this page with cross-links
            return f"[{name}]({up}reference.md)"
        if inside.startswith("docs/") and not inside.startswith("docs/results/"):
            return f"[{name}]({up}{inside.removeprefix('docs/')}{anchor or ''})"
        if inside in ROOT_PAGES:
            return f"[{name}]({up}{ROOT_PAGES[inside]}{anchor or ''})"
        return name

    return re.sub(r"\[([^\]]*)\]\(([^)#]+)(#[^)]*)?\)", link, text)
