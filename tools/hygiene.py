"""What must not be in the project's files: registry hosts, paths of one machine, modules that do too much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.finding import Finding

__all__ = ["addresses", "lengths"]

REGISTRY = re.compile(
    r"https?://[a-z0-9.-]*(?:pypi|pythonhosted|npmjs)|\b(?:pypi\.(?:org|python)|pythonhosted\.org|npmjs\.(?:org|com))",
    re.IGNORECASE,
)
MACHINE = re.compile(r"(?:^|[^a-zA-Z0-9_.])/(?:work|farm)/")

WARN_LINES = 400
MAX_LINES = 500


def addresses(root: Path, files: Iterable[Path]) -> Iterator[Finding]:
    """Yield each line that names a package registry's host or a path that exists on one machine only."""
    for path in files:
        if path.name.endswith((".min.js", ".min.css")):
            continue
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if REGISTRY.search(line):
                yield Finding(name, number, "names a package registry: which index to use is the machine's business.")
            if MACHINE.search(line):
                yield Finding(name, number, "names a path of one machine: make it relative, or a setting.")


def lengths(root: Path, files: Iterable[Path]) -> Iterator[Finding]:
    """Yield each Python file over 500 lines, and a warning for each over 400."""
    for path in files:
        if path.suffix != ".py":
            continue
        lines = len(path.read_bytes().splitlines())
        name = path.relative_to(root).as_posix()
        if lines > MAX_LINES:
            yield Finding(name, lines, f"has {lines} lines, more than {MAX_LINES}: split it along what it does.")
        elif lines > WARN_LINES:
            yield Finding(name, lines, f"has {lines} lines; over {MAX_LINES} it must be split.", warning=True)
