"""What a check reports, and how it finds the files to look at."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Finding", "project_files"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, or, as a warning, close to it."""

    path: str
    line: int
    message: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'warning: ' if self.warning else ''}{self.message}"


def project_files(root: Path) -> Iterator[Path]:
    """Yield the files that are in git or would be with ``git add``, as absolute paths in a stable order."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in sorted(set(filter(None, listing.split("\0")))):
        path = root / name
        if path.is_file() and not path.is_symlink():
            yield path
