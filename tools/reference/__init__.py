"""The reference pages: written from specs, settings, routes, commands and docstrings, and from nothing else.

``python -m tools.reference`` writes ``docs/reference/``; ``--check`` only compares, and exits with 1 when a page is not
what the code says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.finding import ROOT
from tools.reference import alerts, commands, dashboards, http, metrics, python, settings

__all__ = ["FOLDER", "PAGES", "outdated", "write"]

FOLDER = ROOT / "docs" / "reference"

#: What writes each page.
PAGES: dict[str, Callable[[], str]] = {
    "metrics.md": metrics.page,
    "alerts.md": alerts.page,
    "dashboards.md": dashboards.page,
    "settings.md": settings.page,
    "http.md": http.page,
    "commands.md": commands.page,
    "python.md": python.page,
}


def outdated(folder: Path = FOLDER) -> list[str]:
    """Return the names of the pages that differ from what the code says, and of files that nothing writes."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    written = {name: page() for name, page in PAGES.items()}
    return sorted(name for name in there.keys() | written.keys() if there.get(name) != written.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write every page that differs; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = [name for name in outdated(folder) if name in PAGES]
    for name in changed:
        (folder / name).write_text(PAGES[name](), encoding="utf-8")
    return changed
