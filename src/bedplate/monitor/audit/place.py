"""Where a service keeps its audit log when nobody says where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["file_of", "folder", "unwritable"]

#: Where the state of services lives on a host that has been set up for them, and in our containers.
_SYSTEM = Path("/var/lib/bedplate")
#: Beside the service's own SQLite file, in the folder that it runs in.
_LOCAL = Path(".bedplate")


def folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder for what must last: systemd's ``STATE_DIRECTORY``, else /var/lib/bedplate, else ``.bedplate``.

    :param environment: the variables of the process; its own by default.
    """
    given = (os.environ if environment is None else environment).get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    return _SYSTEM if os.access(_SYSTEM, os.W_OK | os.X_OK) else _LOCAL


def file_of(service: str) -> Path:
    """Return the file of a service."""
    return folder() / f"{service}.audit.jsonl"


def unwritable(path: Path) -> str:
    """Return why a file could not be appended to, as far as can be known without touching it; nothing when it could."""
    if path.exists():
        return "" if os.access(path, os.R_OK | os.W_OK) else f"{path} may not be written by this user."
    there = next((one for one in path.absolute().parents if one.exists()), Path("/"))
    if not there.is_dir():
        return f"{there} is a file, and {path} would be below it."
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written by this user."
