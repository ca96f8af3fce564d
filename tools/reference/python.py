"""``python.md``: the public names, their signatures and docstrings."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tools.public_api import modules, signature
from tools.reference.text import GENERATED, code, markdown

__all__ = ["page"]

_WIDTH = 100

_INTRODUCTION = """# Python

The names that are a promise: a change of one is a line in the [changelog](../../CHANGELOG.md). What is not here may
change without one.
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    known: set[str] = set()
    for name in modules():
        module = importlib.import_module(name)
        parts.append(f"## {name}\n\n{markdown(module.__doc__)}\n")
        if also := sorted(known.intersection(module.__all__), key=lambda name: (name.lower(), name)):
            parts.append(f"Also here: {', '.join(map(code, also))}.\n")
        for public in sorted(set(module.__all__) - known, key=lambda name: (name.lower(), name)):
            parts += _entry(public, getattr(module, public))
        known.update(module.__all__)
    return "\n".join(parts)


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if inspect.isclass(value):
        takes = "(Protocol)" if getattr(value, "_is_protocol", False) else signature(value)
        # The fields of a settings class are listed with their meaning in settings.md.
        yield _block(f"class {name}" + ("(**values)" if issubclass(value, BaseModel) else takes))
        yield f"{markdown(inspect.getdoc(value))}\n"
        yield from _members(value)
    elif callable(value):
        prefix = "async def" if inspect.iscoroutinefunction(value) else "def"
        yield _block(f"{prefix} {name}{signature(value)}")
        yield f"{markdown(inspect.getdoc(value))}\n"
    else:
        yield f"`{name}` is a {type(value).__name__}.\n"


def _members(cls: type) -> Iterator[str]:
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    inherited: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == cls.__module__.partition(".")[0]:
            inherited.update(vars(base))
    for name, raw in sorted(inherited.items()):
        if name.startswith("_") or name in fields:
            continue
        member = getattr(cls, name) if isinstance(raw, staticmethod | classmethod) else raw
        doc = inspect.getdoc(member)
        if not doc or not (isinstance(raw, property) or inspect.isroutine(member)):
            continue
        if isinstance(raw, property):
            heading = f"{cls.__name__}.{name}"
        else:
            prefix = "async " if inspect.iscoroutinefunction(member) else ""
            heading = f"{prefix}{cls.__name__}.{name}{signature(member)}"
        yield f"{_block(heading)}\n{markdown(doc)}\n"


def _block(text: str) -> str:
    return f"```text\n{text if len(text) <= _WIDTH else _spread(text)}\n```\n"


def _spread(text: str) -> str:
    """Return a signature with one parameter a line."""
    head, _, rest = text.partition("(")
    depth, end, starts = 0, len(rest), [0]
    for position, character in enumerate(rest):
        if character == ")" and depth == 0:
            end = position
            break
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            starts.append(position + 1)
    parts = [rest[start:stop].strip(" ,") for start, stop in zip(starts, [*starts[1:], end], strict=True)]
    lines = "".join(f"    {part},\n" for part in parts if part)
    return f"{head}(\n{lines}{rest[end:]}"
