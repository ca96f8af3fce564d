"""Rendered files on disk: written whole or not at all, compared, and removed once they are rendered no longer.

A list of the files lies among them. Only what it names is ever removed, so files of other people are safe.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

__all__ = ["MANIFEST", "Difference", "compare", "with_manifest", "write"]

#: The list of rendered files, one a line.
MANIFEST = "rendered.txt"


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A file that is not what would be rendered."""

    path: str
    kind: Literal["missing", "differs", "left over"]

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}"


def with_manifest(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files in the order of their paths, with the list of them."""
    paths = sorted({*files, MANIFEST})
    listed = {**files, MANIFEST: "".join(f"{path}\n" for path in paths)}
    return {path: listed[path] for path in paths}


def compare(files: Mapping[str, str], folder: Path) -> list[Difference]:
    """Return what in a folder differs from the rendered files, by path."""
    found = [Difference(path, kind) for path, text in files.items() if (kind := _difference(folder / path, text))]
    found += [Difference(path, "left over") for path in _left_over(files, folder)]
    return sorted(found)


def write(files: Mapping[str, str], folder: Path) -> list[Difference]:
    """Make a folder hold the rendered files; return what had to change.

    Each file is replaced in one step. Files of an earlier run that are rendered no longer are removed.
    """
    changes = compare(files, folder)
    for change in changes:
        path = folder / change.path
        if change.kind == "left over":
            path.unlink()
            _remove_empty(path.parent, folder)
        else:
            _replace(path, files[change.path])
    return changes


def _difference(path: Path, text: str) -> Literal["missing", "differs"] | None:
    try:
        return None if path.read_bytes() == text.encode() else "differs"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"


def _left_over(files: Mapping[str, str], folder: Path) -> list[str]:
    try:
        listed = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [path for path in listed if path not in files and _inside(path) and (folder / path).is_file()]


def _inside(path: str) -> bool:
    # The list may have been edited by hand; what it cannot do is make us remove something elsewhere.
    parts = PurePosixPath(path).parts
    return bool(parts) and not PurePosixPath(path).is_absolute() and ".." not in parts


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        # mkstemp lets nobody else read; containers run as other users and must.
        os.chmod(name, 0o644)  # noqa: PTH101
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _remove_empty(parent: Path, top: Path) -> None:
    while parent != top and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent
