"""Style sheets, scripts and pictures: read once, compressed once, named by what is in them."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

__all__ = ["Asset", "Assets"]

_KINDS = {".css", ".js", ".svg", ".png"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, whole and compressed."""

    name: str
    digest: str
    media_type: str
    body: bytes
    compressed: bytes


class Assets:
    """The files of a folder; nothing is read before somebody asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def files(self) -> Mapping[str, Asset]:
        """All files by their path below the folder."""
        return _read(self.folder)

    def path(self, name: str) -> str:
        """Return where a file is served, below the console: a new address for every change of it."""
        return f"/static/{self.files[name].digest}/{name}"

    def find(self, digest: str, name: str) -> Asset | None:
        """Return a file, if that is what it holds now."""
        asset = self.files.get(name)
        return asset if asset is not None and asset.digest == digest else None


@lru_cache
def _read(folder: Path) -> Mapping[str, Asset]:
    # Once a process: compressing takes longer than all the rest of a start, and the files are those of a package.
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _KINDS)
    return {path.relative_to(folder).as_posix(): _asset(folder, path) for path in paths}


def _asset(folder: Path, path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.types_map.get(path.suffix, "application/octet-stream")
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    name = path.relative_to(folder).as_posix()
    # No time in it: the same file gives the same bytes.
    return Asset(name, hashlib.sha256(body).hexdigest()[:12], media_type, body, gzip.compress(body, 9, mtime=0))
