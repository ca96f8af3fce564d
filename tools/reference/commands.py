"""``commands.md``: every command, from the signature and docstring of the function behind it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from bedplate.cli import app as bedplate
from synfinance.cli import app as synfinance
from tools.reference.text import GENERATED, code, markdown, table

__all__ = ["page"]

_APPS: dict[str, typer.Typer] = {"bedplate": bedplate, "synfinance": synfinance}
_METAVARS: dict[Any, str] = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a command: its name in Python, type, default, and what typer is told of it."""

    name: str
    kind: Any
    default: Any
    info: ArgumentInfo | OptionInfo

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def shown(self) -> str:
        """How it is written on the command line."""
        if isinstance(self.info, ArgumentInfo):
            name = self.name.upper() + ("…" if get_origin(self.kind) is list else "")
            return name if self.required else f"[{name}]"
        # In an Annotated type, typer takes the first name for a default until it reads the signature.
        given = (self.info.default, *(self.info.param_decls or ()))
        names = [name for name in given if isinstance(name, str)] or [f"--{self.name.replace('_', '-')}"]
        return ", ".join(names) if self.kind is bool else f"{', '.join(names)} {self._metavar}"

    @property
    def _metavar(self) -> str:
        inner = self.kind
        if get_origin(inner) is list:
            inner = get_args(inner)[0]
        if get_origin(inner) is Literal:
            return "|".join(map(str, get_args(inner)))
        if isinstance(inner, type) and issubclass(inner, Enum):
            return "|".join(str(item.value) for item in inner)
        alternatives = [item for item in get_args(inner) if item is not type(None)] or [inner]
        return self.info.metavar or _METAVARS.get(alternatives[0], "VALUE")

    @property
    def default_shown(self) -> str:
        if self.required or self.default is None or self.kind is bool or self.default in ([], ()):
            return "required" if self.required and isinstance(self.info, OptionInfo) else ""
        return code(str(self.default.value if isinstance(self.default, Enum) else self.default))


def page() -> str:
    """Return the page."""
    parts = [GENERATED, "# Commands\n"]
    for name, app in _APPS.items():
        parts.append(f"## {name}\n\n{markdown(app.info.help)}\n")
        for command in app.registered_commands:
            assert command.callback is not None
            parts += _command(name, command.name or command.callback.__name__.replace("_", "-"), command.callback)
    return "\n".join(parts)


def _command(program: str, name: str, callback: Callable[..., Any]) -> Iterator[str]:
    parameters = sorted(_parameters(callback), key=lambda parameter: isinstance(parameter.info, OptionInfo))
    arguments = [parameter.shown for parameter in parameters if isinstance(parameter.info, ArgumentInfo)]
    usage = " ".join([program, name, *arguments, *(["[OPTIONS]"] if len(arguments) < len(parameters) else [])])
    yield f"### {program} {name}\n\n```text\n{usage}\n```\n"
    yield f"{markdown(inspect.getdoc(callback))}\n"
    rows = [(code(each.shown), each.info.help or "", each.default_shown) for each in parameters]
    yield table(("Parameter", "What it does", "Default"), rows)


def _parameters(callback: Callable[..., Any]) -> Iterator[_Parameter]:
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *told = get_args(hints[name])
        info = next((item for item in told if isinstance(item, ArgumentInfo | OptionInfo)), None)
        if info is not None and not info.hidden:
            yield _Parameter(name, kind, parameter.default, info)
