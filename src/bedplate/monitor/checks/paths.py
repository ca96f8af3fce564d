"""Looking something up in a JSON document by a dotted path."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["MISSING", "found"]

#: What :func:`found` returns for what is not there; null is there.
MISSING: Final = object()

_SEGMENT = re.compile(r"\{(?P<key>[^={}]+)=(?P<value>[^{}]*)\}|(?P<plain>[^.{}]+)")


def found(document: Any, path: str) -> Any:
    """Return what stands at a path, or :data:`MISSING`.

    ``system.status`` are members, ``items.0`` is the first of a list, and ``items.{name=cache:reports}.state`` is of
    the first item of the list whose ``name`` is that.
    """
    here = document
    for match in _SEGMENT.finditer(path):
        here = _step(here, match)
        if here is MISSING:
            break
    return here


def _step(here: Any, match: re.Match[str]) -> Any:
    if (key := match["key"]) is not None:
        items = here if isinstance(here, list) else ()
        fitting = (item for item in items if isinstance(item, dict) and str(item.get(key, MISSING)) == match["value"])
        return next(fitting, MISSING)
    plain = match["plain"]
    if isinstance(here, dict):
        return here.get(plain, MISSING)
    if isinstance(here, list) and plain.isdecimal() and int(plain) < len(here):
        return here[int(plain)]
    return MISSING
