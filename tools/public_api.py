"""The public names of Bedplate as text, so that a change of the interface is seen in review and never by accident.

``python -m tools.public_api`` prints them; ``--write`` (``make api``) accepts them into the snapshot. The test
compares and never writes.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_origin

from pydantic import BaseModel

from tools.finding import ROOT

__all__ = ["SNAPSHOT", "describe", "modules", "signature"]

SNAPSHOT = ROOT / "tests" / "unit" / "project" / "public_api.txt"

# Defaults whose repr names an address in memory, or differs between versions of Python.
_ADDRESS = re.compile(r"<([\w.]+) object at 0x[0-9a-f]+>|<(?:function|built-in method) ([\w.<>]+)[^>]*>")


def modules(root: Path = ROOT) -> list[str]:
    """Return the modules whose ``__all__`` is a promise to users: ``[tool.bedplate] public``."""
    listed: list[str] = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["bedplate"]["public"]
    return listed


def describe(module: ModuleType) -> Iterator[str]:
    """Yield a line for each public name of ``module``, and an indented one for each public member of a class.

    Raises ``AttributeError`` when ``__all__`` names something that is not there.
    """
    for name in sorted(getattr(module, "__all__", ())):
        value = getattr(module, name)
        yield from _object(f"{module.__name__}.{name}", value)


def _object(name: str, value: object) -> Iterator[str]:
    if inspect.ismodule(value):
        yield f"{name}: module"
    elif inspect.isclass(value) and get_origin(value) is None:
        kind = _kind(value)
        yield f"{name}: {kind}{'' if kind in ('enum', 'protocol') else signature(value)}"
        yield from _members(value)
    elif inspect.isroutine(value):
        yield f"{name}: {_routine(value)} {signature(value)}"
    elif get_origin(value) is not None:
        yield f"{name}: type {_steady(str(value))}"
    else:
        yield f"{name}: {type(value).__name__}"


def _kind(cls: type) -> str:
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, BaseException):
        return "exception"
    if getattr(cls, "_is_protocol", False):
        return "protocol"
    return "dataclass" if dataclasses.is_dataclass(cls) else "class"


def _members(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in cls)
    inherited: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == cls.__module__.partition(".")[0]:
            inherited.update(vars(base))
    for name, raw in sorted(inherited.items()):
        if name.startswith("_") and name != "__call__":
            continue
        value = getattr(cls, name) if isinstance(raw, staticmethod | classmethod) else raw
        if isinstance(raw, property):
            yield f"    {name}: property{_returns(raw)}"
        elif inspect.isfunction(value) or inspect.ismethod(value):
            static = {staticmethod: "static ", classmethod: "class "}.get(type(raw), "")
            yield f"    {name}: {static}{_routine(value)} {signature(value)}"


def _routine(value: object) -> str:
    return "async def" if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value) else "def"


class _Text(str):
    """An annotation as its author wrote it: without the quotes that a string has in a signature."""

    __slots__ = ()
    __repr__ = str.__str__


def signature(value: object) -> str:
    """Return a callable's signature as its author wrote it, an empty string when it has none."""
    try:
        found = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a builtin or an exception without one of its own
        return ""
    if inspect.isclass(value) and issubclass(value, BaseModel):
        # What a field takes is pydantic's to write down, differently from one version of Python to the next.
        bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
        return _steady(str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty)))
    parameters = [
        parameter.replace(annotation=_Text(parameter.annotation))
        if isinstance(parameter.annotation, str)
        else parameter
        for parameter in found.parameters.values()
    ]
    returned = found.return_annotation
    found = found.replace(
        parameters=parameters, return_annotation=_Text(returned) if isinstance(returned, str) else returned
    )
    return _steady(str(found))


def _steady(text: str) -> str:
    return _ADDRESS.sub(lambda match: f"<{match[1] or match[2]}>", text)


def _returns(prop: property) -> str:
    returned = inspect.signature(prop.fget).return_annotation if prop.fget else inspect.Signature.empty
    if returned is inspect.Signature.empty:
        return ""
    return f" -> {returned if isinstance(returned, str) else inspect.formatannotation(returned)}"


def render() -> str:
    """Return the snapshot as it should be now."""
    lines = (line for name in modules() for line in describe(importlib.import_module(name)))
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(render(), encoding="utf-8")
        print(f"{SNAPSHOT.relative_to(ROOT)}: {len(SNAPSHOT.read_text(encoding='utf-8').splitlines())} lines")
    else:
        print(render(), end="")
